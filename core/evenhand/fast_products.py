"""Matrix products of a measurement by oneDNN, activations and gates computed on the way out of them.

PyTorch hands float32 products on the processor to MKL, which on processors of other makers runs at half their speed,
and computes an activation in a pass over memory of its own. Within `fast_products` linear layers call oneDNN, and
feed-forward blocks of the two usual forms become products that end in their activation:

    gated (Llama, Qwen, Gemma):  down( act(gate(x)) * up(x) )
    plain (BERT):                act(dense(x))

A block is exchanged only if it is made of nothing but such layers and gives the same on a small sample; hooks on its
parts keep it as it is, and so do those that come later, as long as they are there. Where gradients are computed, or not
on a processor, nothing changes. The operators are those that PyTorch's own compiler emits for processors. A layer that
multiplies few rows again and again, as in writing, has its weights brought into oneDNN's order once (`laid_out`).
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from evenhand.processor import mkl_is_at_home

if TYPE_CHECKING:
    import torch

    from evenhand.laid_out import LaidOut

    Linear = Callable[..., torch.Tensor]

FEW = 4
"""Up to so many rows a product W x of MKL is faster than one of oneDNN, though x W^T, the usual one, is slower."""
AT_HOME = 3
"""Up to so many rows MKL's usual product takes hardly more than for one, where it is at home."""
SMALL = 2**18
"""A product by so few weights takes oneDNN longer to prepare than MKL to multiply."""
SAMPLE = 8
"""Rows on which a block must give the same before it is exchanged."""
SAME = {"float32": 1e-5, "bf16": 3e-2, "bfloat16": 3e-2}
"""Largest deviation on the sample, in parts of the largest value."""


@contextlib.contextmanager
def fast_products(
    model: torch.nn.Module, precision: str, *, blocks: bool = True, within: bool = True, order: LaidOut | None = None
) -> Iterator[None]:
    """A block in which the linear layers of `model` run by oneDNN; all is put back.

    `precision`: `float32`, `bfloat16` (of the weights), or `bf16` (autocast over float32 weights); others do nothing.
    Without `blocks` only linear layers are exchanged, which costs next to nothing to begin and to end; in float32 their
    weights are brought into order. `order` knows how often they were used by the blocks of one answer before. A block
    around this one, in another format, stays in force, unless `within` is false: then its products are put aside.
    """
    before = _within.get()
    block = _Block(precision)
    _within.set((*(b for b in before if within or b.precision == precision or not b.acts_on(model)), block))
    try:
        if _available(model, precision):
            products = _Products(precision, writing=not blocks, order=order)
            layers = [m for m in model.modules() if products.takes(m)]
            if products.order:
                products.order.size = sum(products.size_of(layer) for layer in layers)
            found = [_feed_forward(m, products) for m in model.modules()] if blocks else []
            for module in layers:
                block.exchange(module, products.of(module))
            for module, forward in filter(None, found):
                if _alike(module, forward, precision):
                    block.exchange(module, products.else_plain(forward, module, tuple(module.children())))
        yield
    finally:
        block.put_back()
        _within.set(before)


class _Block:
    """One `with fast_products(...)`, and what it has exchanged."""

    def __init__(self, precision: str) -> None:
        self.precision = precision
        self._modules: set[torch.nn.Module] = set()

    def exchange(self, module: torch.nn.Module, fast: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Let whoever is within this block compute `module` by `fast`."""
        with _changing:
            forward = vars(module).get("forward")
            if forward is None:
                forward = vars(module)["forward"] = _Forward(module)
            elif not isinstance(forward, _Forward):
                return  # somebody else has exchanged it meanwhile
            forward.fast[self] = fast
            self._modules.add(module)

    def acts_on(self, model: torch.nn.Module) -> bool:
        """Whether it has exchanged a part of a model."""
        return any(module in self._modules for module in model.modules())

    def put_back(self) -> None:
        """Nothing of this block stays; modules that no other block uses are as they were."""
        with _changing:
            for module in self._modules:
                forward = vars(module).get("forward")
                if isinstance(forward, _Forward):
                    forward.fast.pop(self, None)
                    if not forward.fast:
                        del vars(module)["forward"]


class _Forward:
    """The forward pass of a module while it is exchanged for somebody."""

    def __init__(self, module: Any) -> None:
        self.plain = type(module).forward.__get__(module)
        self.fast: dict[_Block, Callable[[torch.Tensor], torch.Tensor]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return (self.in_force() or self.plain)(*args, **kwargs)

    def in_force(self) -> Callable[..., Any] | None:
        """The pass of the block that the caller is within."""
        for block in _within.get():
            if (fast := self.fast.get(block)) is not None:
                return fast
        return None


_within: ContextVar[tuple[_Block, ...]] = ContextVar("blocks of fast products", default=())
"""The blocks that the caller is within and whose products are in force, the outermost first."""
_changing = threading.Lock()


def _exchanged(module: torch.nn.Module) -> bool:
    """Whether the caller gets something else than the class's own forward pass, by a block or by somebody else."""
    forward = vars(module).get("forward")
    return forward is not None if not isinstance(forward, _Forward) else forward.in_force() is not None


def _available(model: torch.nn.Module, precision: str) -> bool:
    import torch

    built: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if precision not in SAME or not built or not torch.backends.mkldnn.enabled:
        return False
    first = next(model.parameters(), None)
    known = hasattr(torch.ops.mkldnn, "_linear_pointwise") and (precision == "float32" or _multiplies_bf16())
    at_processor = first is not None and first.device.type == "cpu"
    if not at_processor:
        forget_orders(model)
    return known and at_processor


def _multiplies_bf16() -> bool:
    """Whether oneDNN has bf16 products for this processor: without AVX-512 it refuses them, where PyTorch has slow ones
    of its own."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def forget_orders(model: torch.nn.Module) -> None:
    """Give up the weights in order that were kept of a model: it is trained now, or has gone to another device."""
    if laid_out := sys.modules.get("evenhand.laid_out"):
        laid_out.forget(model)


class _Products:
    """Linear layers as oneDNN calls; weights in bf16 are made once for the block.

    `writing`: few rows in float32 go to MKL where that is faster, and weights are brought into order.
    """

    def __init__(self, precision: str, writing: bool = False, order: LaidOut | None = None) -> None:
        import torch

        from evenhand.laid_out import LaidOut

        self.precision = precision
        self.dtype = torch.float32 if precision == "float32" else torch.bfloat16
        self.order: LaidOut | None = None
        self.turned = self.usual = self.small = 0
        """Up to how many rows MKL multiplies from the other side, or as always; and up to how many weights."""
        if writing and precision == "float32":
            self.order = order or LaidOut()
            if mkl_is_at_home():
                self.usual, self.small = AT_HOME, SMALL
            else:
                self.turned = FEW
        self.read = (torch.float32, torch.bfloat16) if precision == "bf16" else (self.dtype,)
        """Formats of weights and inputs that the unchanged layer would take as well."""
        self._weights: dict[int, tuple[torch.Tensor, torch.Tensor | None]] = {}
        self._laid: dict[int, tuple[torch.Tensor, int]] = {}
        """Weights in order, with the version that they were made of."""
        self._cast: tuple[torch.Tensor, int, torch.Tensor] | None = None
        """The last input that was in another format, its version, and what it became."""

    def takes(self, module: torch.nn.Module) -> bool:
        """Whether a layer is a plain linear one (`nn.Linear`, GPT-2's `Conv1D`) in float32 or bf16."""
        import torch
        from transformers.pytorch_utils import Conv1D

        if type(module) not in (torch.nn.Linear, Conv1D) or _exchanged(module):
            return False
        weight = module.weight
        split = hasattr(weight, "full_tensor")  # between processes, by FSDP
        return not split and weight.dtype in self.read and weight.device.type == "cpu"

    def size_of(self, module: Any) -> int:
        """Bytes of a layer's weight."""
        return int(module.weight.nbytes)

    def weights(self, module: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(weight [out, in], bias [out] or None) in the format of the products."""
        import torch

        found = self._weights.get(id(module))
        if found is None:
            weight = module.weight.detach()
            weight = weight if isinstance(module, torch.nn.Linear) else weight.t()
            bias = None if module.bias is None else module.bias.detach().to(self.dtype)
            found = self._weights[id(module)] = (weight.to(self.dtype), bias)
        return found

    def in_order(self, module: Any, rows: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As `weights`, for a product of oneDNN; the weight in its order where that is worth the while."""
        weight, bias = self.weights(module)
        if self.order is None or rows == 1:  # a row by itself has a kernel of its own
            return weight, bias
        known = self._laid.get(id(module))
        if known is not None and known[1] == weight._version:
            return known[0], bias
        laid = self.order.of(module, weight)
        if laid is not weight:
            self._laid[id(module)] = laid, weight._version
        return laid, bias

    def entering(self, x: torch.Tensor) -> torch.Tensor:
        """An input in the format of the products; layers that read the same one share the conversion."""
        if x.dtype == self.dtype:
            return x
        if x.is_inference():  # which has no version, so that a change of it would go unseen
            return x.to(self.dtype)
        if self._cast is None or self._cast[0] is not x or self._cast[1] != x._version:
            self._cast = x, x._version, x.to(self.dtype)
        return self._cast[2]

    def run(self, module: Any, x: torch.Tensor, activation: str = "none", form: str = "") -> torch.Tensor:
        """activation(x W^T + b), `x` [..., in]."""
        import torch

        rows = x.numel() // x.shape[-1]
        if rows <= self.usual or module.weight.numel() <= self.small:
            return torch.nn.functional.linear(x, *self.weights(module))
        if 1 < rows <= self.turned:
            weight, bias = self.weights(module)
            if rows == 2 or weight.shape[0] >= weight.shape[1]:
                few = torch.mm(weight, x.reshape(rows, -1).t()).t().contiguous()
                return (few if bias is None else few + bias).view(*x.shape[:-1], -1)
        weight, bias = self.in_order(module, rows)
        scalars = [1.0] if activation == "swish" else []
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            self.entering(x), weight, bias, activation, scalars, form
        )
        return found

    def times(self, module: Any, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """(x W^T + b) * other."""
        import torch

        weight, bias = self.weights(module)
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(self.entering(x), other, weight, bias, "mul")
        return found

    def of(self, module: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """The forward pass of a linear layer."""
        return self.else_plain(lambda x: self.run(module, x), module)

    def else_plain(
        self, fast: Callable[[torch.Tensor], torch.Tensor], module: Any, parts: Sequence[Any] = ()
    ) -> Callable[[Any], torch.Tensor]:
        """`fast`, but the module's own pass where gradients are wanted, the input is empty or of another kind, or one
        of the `parts` that `fast` goes past has got a hook since."""
        import torch

        plain = type(module).forward.__get__(module)

        def forward(x: Any) -> torch.Tensor:
            usual = torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype not in self.read or not x.numel()
            usual = usual or any(map(_has_hooks, parts))
            found: torch.Tensor = plain(x) if usual else fast(x)
            return found

        return forward


def _feed_forward(
    module: torch.nn.Module, products: _Products
) -> tuple[torch.nn.Module, Callable[[torch.Tensor], torch.Tensor]] | None:
    """A feed-forward block and its fast forward pass, if it has one of the two forms and nothing else."""
    children = dict(module.named_children())
    if _exchanged(module) or any(_has_hooks(child) for child in children.values()):
        return None
    gated = {"gate_proj", "up_proj", "down_proj", "act_fn"}
    if set(children) == gated and all(products.takes(children[name]) for name in gated - {"act_fn"}):
        known = _activation(children["act_fn"])
        gate, up, down = (children[name] for name in ("gate_proj", "up_proj", "down_proj"))
        if known is not None:
            return module, lambda x: products.run(down, products.times(up, x, products.run(gate, x, *known)))
    if set(children) == {"dense", "intermediate_act_fn"} and products.takes(children["dense"]):
        known = _activation(children["intermediate_act_fn"])
        if known is not None:
            return module, lambda x: products.run(children["dense"], x, *known)
    return None


def _activation(module: torch.nn.Module) -> tuple[str, str] | None:
    """An activation under oneDNN's name, as (name, form); None for those it does not know."""
    name = type(module).__name__
    if name in ("SiLU", "SiLUActivation"):
        return "swish", ""
    if name in ("GELUTanh", "PytorchGELUTanh", "NewGELUActivation"):
        return "gelu", "tanh"
    if name == "GELUActivation":
        return "gelu", "none"
    return ("relu", "") if name == "ReLU" else None


def _has_hooks(module: torch.nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _alike(module: torch.nn.Module, forward: Callable[[torch.Tensor], torch.Tensor], precision: str) -> bool:
    """Whether both give the same on a sample: the name of an activation or a class does not say all it does."""
    import torch

    linear: Any = next(m for m in module.modules() if hasattr(m, "weight"))
    width = linear.in_features if isinstance(linear, torch.nn.Linear) else linear.weight.shape[0]
    x = torch.randn(SAMPLE, int(width), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = module(x.to(linear.weight.dtype)).float(), forward(x.to(linear.weight.dtype)).float()
    return float((wanted - found).abs().max()) <= SAME[precision] * max(float(wanted.abs().max()), 1e-30)

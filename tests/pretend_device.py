"""A device that is not the processor, for machines without one: it keeps its numbers on the processor, and refuses what
a real device refuses.

`pretending()` makes it the device that the toolkit and the Trainer choose. A tensor on it is a wrapper around one of
the processor; an operation whose inputs are on two devices raises what CUDA raises, `.numpy()` refuses, and a random
draw on it takes no generator of the processor. What is allowed there is allowed here: numbers of no dimension, indexing
by positions that are on the processor, and copies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import safetensors.torch
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("lazy", 0)
"""A name that torch knows, and that needs no driver."""
ACROSS = {"_to_copy", "copy_", "index", "index_put_", "index_put", "_index_put_impl_", "_unsafe_index_put"}
"""Operations that take tensors of two devices."""
AWAY = {"_local_scalar_dense", "is_same_size", "equal"}
"""Operations whose result is no tensor of the device."""


class Elsewhere(torch.Tensor):
    """A tensor on the device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, layout=held.layout, device=DEVICE
        )
        made.held = held
        return made

    def __init__(self, held: torch.Tensor) -> None: ...

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.held!r})"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {})


class _Placing(TorchDispatchMode):
    """Makes tensors on the device where an operation asks for it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        held = any(isinstance(x, Elsewhere) for x in tree_flatten((args, kwargs))[0])
        if held or (asked is not None and torch.device(asked).type == DEVICE.type):
            return _done(func, args, kwargs)
        return func(*args, **kwargs)


class _FromLists(TorchFunctionMode):
    """Tensors made of lists are filled below all modes: they are made on the processor, then moved."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = torch.device(kwargs.pop("device"))
            return func(*args, **kwargs).to(device)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[0], Elsewhere):
            args = (args[0], _positions(args[1]), *args[2:])
        return func(*args, **kwargs)


def _positions(index: Any) -> Any:
    """An index with tensors instead of lists."""
    if isinstance(index, tuple):
        return tuple(_positions(part) for part in index)
    if isinstance(index, list):
        return torch.tensor(index) if index else torch.tensor([], dtype=torch.long)
    return index


def _done(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func._schema.name.removeprefix("aten::")
    flat = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    here = [x for x in flat if isinstance(x, Elsewhere)]
    if here and name not in ACROSS:
        for x in flat:
            if not isinstance(x, Elsewhere) and x.dim() > 0:
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and "
                    f"{x.device} (in {name})"
                )
    if name in {"index_put_", "index_put", "_index_put_impl_"} and here:
        target, values = args[0], args[2]
        if isinstance(target, Elsewhere) != isinstance(values, Elsewhere) and values.dim() > 0:
            raise RuntimeError(f"Expected all tensors to be on the same device (values of {name})")
    if name == "index" and here and not isinstance(args[0], Elsewhere):
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
    asked = kwargs.get("device")
    asked = torch.device(asked) if asked is not None else None
    there = (asked.type == DEVICE.type) if asked is not None else bool(here)
    if name in {"copy_", "index_put_", "_index_put_impl_"}:
        there = isinstance(args[0], Elsewhere)
    draw = kwargs.get("generator")
    if there and draw is not None and draw.device.type != DEVICE.type:
        raise RuntimeError(f"Expected a '{DEVICE.type}' device type for generator but found '{draw.device.type}'")
    inner_args, inner_kwargs = tree_map_only(Elsewhere, lambda x: x.held, (args, kwargs))
    if asked is not None:
        inner_kwargs = {**inner_kwargs, "device": torch.device("cpu")}
    found = func(*inner_args, **inner_kwargs)
    if name in AWAY:
        return found
    if name == "_to_copy" and not there:
        return found
    if name == "_to_copy" and found is inner_args[0]:
        found = found.clone()
    if not there:
        return found
    wrapped = tree_map_only(torch.Tensor, lambda x: x if isinstance(x, Elsewhere) else Elsewhere(x), found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if here else wrapped


class _Autocast(torch.autocast):
    """Mixed precision of the processor, where the numbers are."""

    def __init__(self, device_type: str, *args: Any, **options: Any) -> None:
        super().__init__("cpu" if device_type == DEVICE.type else device_type, *args, **options)


@contextlib.contextmanager
def pretending() -> Iterator[torch.device]:
    """Within, the toolkit and `transformers.Trainer` choose the device."""
    from accelerate import PartialState
    from accelerate.state import AcceleratorState
    from transformers import PreTrainedModel, TrainingArguments, modeling_utils, trainer

    from evenhand import devices

    def chosen(name: str, *, where: str = "device") -> str:
        return DEVICE.type

    put_back: list[Callable[[], None]] = [lambda: delattr(torch, DEVICE.type)]
    setattr(torch, DEVICE.type, torch.cpu)  # where gradient checkpoints look for the device's random state

    def exchange(owner: Any, name: str, new: Any) -> None:
        old = vars(owner)[name]
        put_back.append(lambda: setattr(owner, name, old))
        setattr(owner, name, new)

    exchange(devices, "chosen", chosen)
    exchange(torch, "autocast", _Autocast)
    exchange(torch.amp, "autocast", _Autocast)
    exchange(PartialState, "default_device", property(lambda self: DEVICE))
    exchange(TrainingArguments, "device", property(lambda self: (self._setup_devices, DEVICE)[1]))
    exchange(torch.nn.Module, "_apply", _apply(torch.nn.Module._apply))
    exchange(PreTrainedModel, "save_pretrained", _saved(PreTrainedModel.save_pretrained))
    for module in (safetensors.torch, modeling_utils, trainer):
        for name in {"save_file", "safe_save_file", "save"} & set(vars(module)):
            exchange(module, name, _from_the_processor(vars(module)[name]))
    from torch.optim import optimizer

    fused = optimizer._get_fused_kernels_supported_devices
    exchange(optimizer, "_get_fused_kernels_supported_devices", lambda: [*fused(), DEVICE.type])
    for state in (PartialState, AcceleratorState):
        state._reset_state() if hasattr(state, "_reset_state") else state._shared_state.clear()
    try:
        with _Placing(), _FromLists():
            yield DEVICE
    finally:
        for undo in reversed(put_back):
            undo()
        for state in (PartialState, AcceleratorState):
            state._reset_state() if hasattr(state, "_reset_state") else state._shared_state.clear()


def _apply(old: Callable[..., Any]) -> Callable[..., Any]:
    """`Module._apply` that keeps tied parameters tied: a wrapper cannot be put into another tensor's place."""

    def apply(self: torch.nn.Module, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        moved: dict[int, torch.Tensor] = {}
        for module in self.modules() if recurse else [self]:
            for kept in (module._parameters, module._buffers):
                for name, value in kept.items():
                    if value is None:
                        continue
                    if id(value) not in moved:
                        with torch.no_grad():
                            new = fn(value)
                        if isinstance(value, torch.nn.Parameter) and new is not value:
                            if isinstance(new, Elsewhere) and isinstance(value, Elsewhere) and new.dtype == value.dtype:
                                value.held, new = new.held, value
                            elif not isinstance(new, Elsewhere) and not isinstance(value, Elsewhere):
                                value.data, new = new, value
                            else:
                                new = torch.nn.Parameter(new.detach(), value.requires_grad)
                        moved[id(value)] = new
                        moved[id(new)] = new
                    kept[name] = moved[id(value)]
        return self

    return apply


def _from_the_processor(old: Callable[..., Any]) -> Callable[..., Any]:
    """A writer of safetensors files, given the numbers of the processor."""

    def save(tensors: dict[str, torch.Tensor], *args: Any, **options: Any) -> Any:
        return old({k: held(v).detach() for k, v in tensors.items()}, *args, **options)

    return save


def held(tensor: torch.Tensor) -> torch.Tensor:
    """Where the numbers are."""
    return tensor.held if isinstance(tensor, Elsewhere) else tensor


def _saved(old: Callable[..., Any]) -> Callable[..., Any]:
    def save_pretrained(self: Any, folder: Any, *args: Any, **options: Any) -> Any:
        state = options.pop("state_dict", None) or self.state_dict()
        return old(self, folder, *args, state_dict={k: held(v).detach() for k, v in state.items()}, **options)

    return save_pretrained

"""A model read by its family's description: the matrices, norms and heads of each layer.

for layer in layers_of(model):
    layer.query.weight()          # [outputs, inputs], whichever way and beside whatever the module keeps it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand_sdk import UsageError
from evenhand_standard.architecture.families import Family, LayerPaths, family_of
from evenhand_standard.architecture.plain_weights import coded, dtype_name

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A linear map y = W x + b, kept by a module alone or beside other maps of the same input."""

    path: str
    """Path of the module below its layer."""
    module: Any
    transposed: bool
    """The module keeps [inputs, outputs]."""
    rows: torch.Tensor | None = None
    """Which of the module's outputs are this map's; None for all."""

    @property
    def inputs(self) -> int:
        return int(self.module.weight.shape[0 if self.transposed else 1])

    def weight(self) -> torch.Tensor:
        """W [outputs, inputs]: a copy, or a view where the module keeps nothing else."""
        whole: torch.Tensor = self.module.weight.detach()
        whole = whole.T if self.transposed else whole
        return whole if self.rows is None else whole[self.rows.to(whole.device)]

    def bias(self) -> torch.Tensor | None:
        """b [outputs], None where the module has none."""
        if self.module.bias is None:
            return None
        whole: torch.Tensor = self.module.bias.detach()
        return whole if self.rows is None else whole[self.rows.to(whole.device)]

    def write(self, weight: torch.Tensor | None = None, bias: torch.Tensor | None = None) -> None:
        """Put W, b or both into the module; what it keeps beside them stays. It must have a bias to get one."""
        import torch

        with torch.no_grad():
            for value, whole in ((weight, self.module.weight.data), (bias, self.module.bias)):
                if value is None:
                    continue
                place = whole.T if self.transposed and value.ndim == 2 else whole
                if self.rows is None:
                    place.copy_(value)
                else:
                    place[self.rows.to(place.device)] = value.to(place)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The parts of one layer."""

    number: int
    module: Any
    """Its output, alone or first of a tuple, is the residual stream behind the layer."""
    query: Matrix
    key: Matrix
    value: Matrix
    output: Matrix
    """Its inputs are the heads one after another, `head_size` columns each."""
    feed_forward_in: tuple[Matrix, ...]
    feed_forward_out: Matrix
    attention_norm: Any
    feed_forward_norm: Any
    query_norm: Any | None
    heads: int
    groups: int
    """Key-value heads; heads / groups query heads next to each other share one."""
    head_size: int

    @property
    def attention_in(self) -> tuple[Matrix, ...]:
        """The whole modules that read the input of the attention, each once."""
        return _distinct(self.query, self.key, self.value)

    def head_columns(self, head: int) -> slice:
        """The columns of the output projection that read a head."""
        return slice(head * self.head_size, (head + 1) * self.head_size)

    def group_of(self, head: int) -> int:
        """The key-value head that a query head reads."""
        return head // (self.heads // self.groups)


def layers_of(model: PreTrainedModel) -> list[Layer]:
    """The layers of a model, counted from the input.

    Raises UsageError for a family that is not described, for a model that lacks a part, and for weights that are no
    plain matrices, such as quantised ones.
    """
    family = family_of(model)
    found = _child(body_of(model), family.paths.layers, "the model", family)
    return [_layer(number, module, model.config, family) for number, module in enumerate(found)]


def body_of(model: PreTrainedModel) -> Any:
    """The model below its head; for a class whose `base_model` is the whole (Gemma 3), its part `model`."""
    body = model.base_model
    return getattr(model, "model", body) if body is model else body


def chosen_layers(layers: Sequence[Layer], first: float, last: float) -> list[Layer]:
    """The layers between two shares of the depth, rounded outwards and at least one: (1/3, 2/3) is the middle third."""
    import math

    depth = len(layers)
    start = min(depth - 1, math.floor(first * depth + 1e-9))
    return list(layers[start : max(start + 1, math.ceil(last * depth - 1e-9))])


def _layer(number: int, module: Any, config: Any, family: Family) -> Layer:
    paths = family.paths
    heads = int(config.num_attention_heads)
    groups = int(getattr(config, "num_key_value_heads", None) or heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)

    def matrix(path: str, part: int | None = None) -> Matrix:
        rows = None if part is None or paths.fused == "no" else fused_rows(paths, part, heads, size)
        return _matrix(module, path, f"layer {number}", family, rows)

    made = Layer(
        number=number,
        module=module,
        query=matrix(paths.query, 0),
        key=matrix(paths.key, 1),
        value=matrix(paths.value, 2),
        output=matrix(paths.output),
        feed_forward_in=tuple(matrix(path) for path in paths.feed_forward_in),
        feed_forward_out=matrix(paths.feed_forward_out),
        attention_norm=_child(module, paths.attention_norm, f"layer {number}", family),
        feed_forward_norm=_child(module, paths.feed_forward_norm, f"layer {number}", family),
        query_norm=_query_norm(module, paths, size),
        heads=heads,
        groups=groups,
        head_size=size,
    )
    if made.output.inputs != heads * size:
        raise UsageError(
            f"the output projection of layer {number} reads {made.output.inputs} columns, not {heads} heads of {size}",
            where="model families",
            do="heads were cut out of this model before; take it as it was published",
        )
    return made


def fused_rows(paths: LayerPaths, part: int, heads: int, size: int) -> torch.Tensor:
    """The outputs of a module of query, key and value that belong to the first, second or third of them."""
    import torch

    every = torch.arange(3 * heads * size)
    shape, at = ((3, heads, size), 0) if paths.fused == "blocks" else ((heads, 3, size), 1)
    return every.view(shape).select(at, part).flatten()


def _query_norm(module: Any, paths: LayerPaths, size: int) -> Any | None:
    """None too where a module of this name is no normalisation of a head, as in types that switch it off."""
    if paths.query_norm is None:
        return None
    found = module
    for name in paths.query_norm.split("."):
        found = getattr(found, name, None)
        if found is None:
            return None
    weight = getattr(found, "weight", None)
    return found if weight is not None and tuple(weight.shape) == (size,) else None


def _matrix(layer: Any, path: str, where: str, family: Family, rows: torch.Tensor | None) -> Matrix:
    import torch
    from transformers.pytorch_utils import Conv1D

    module = _child(layer, path, where, family)
    weight = getattr(module, "weight", None)
    plain = isinstance(module, Conv1D | torch.nn.Linear) and isinstance(weight, torch.Tensor)
    how = coded(module) if weight is not None else ""
    if not plain or how or weight.ndim != 2 or _packed(module, weight):
        raise UsageError(
            f"the weights of {path} in {where} are no plain matrix, but {type(module).__name__}"
            + (f" of {how or dtype_name(weight)}" if weight is not None else ""),
            where="model families",
            do="load the model without quantisation and without wrapped layers",
        )
    return Matrix(path=path, module=module, transposed=isinstance(module, Conv1D), rows=rows)


def _packed(module: Any, weight: torch.Tensor) -> bool:
    outputs, inputs = getattr(module, "out_features", None), getattr(module, "in_features", None)
    return outputs is not None and tuple(weight.shape) != (outputs, inputs)


def _child(module: Any, path: str, where: str, family: Family) -> Any:
    for name in path.split("."):
        found = getattr(module, name, None)
        if found is None:
            raise UsageError(
                f"{where} has no {path!r}, which models of type {family.model_types[0]!r} have",
                where="model families",
                do="this model is built otherwise than its type says; "
                "describe it in evenhand_standard/architecture/families.py",
            )
        module = found
    return module


def _distinct(*matrices: Matrix) -> tuple[Matrix, ...]:
    seen: dict[int, Matrix] = {}
    for one in matrices:
        whole = Matrix(path=one.path, module=one.module, transposed=one.transposed)
        seen.setdefault(id(one.module), whole)
    return tuple(seen.values())

"""LoRA on a model: two narrow matrices beside each chosen one, y = W x + b + (alpha / r) B A x.

The matrices stand where `peft` has them (`PATH.lora_A.NAME.weight`), but their module stays a plain linear map with a
hook, so that steps which read, hook or fold matrices work as without. The hook is the innermost one: whatever hooks of
other steps do in front of the module or behind it, LoRA is a change of W, and merging it is exact.

Source: Hu et al. 2022, LoRA: low-rank adaptation of large language models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from evenhand_sdk import ModelShape, UsageError
from evenhand_standard.architecture.families import Family, described, undescribed
from evenhand_standard.architecture.layer_parts import Matrix, layers_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Part = Literal["query", "key", "value", "output", "feed-forward"]
PARTS: Final[tuple[Part, ...]] = ("query", "key", "value", "output", "feed-forward")
NAMES: Final = re.compile(r"\.lora_[AB]\.")
"""In the names of all parameters of LoRA, and of no others."""


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """What is trained beside which matrices."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[Part, ...] = PARTS
    layers: float = 1.0
    """Share of the layers, the last ones."""

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


def misfits(settings: LoraSettings, shape: ModelShape) -> list[str]:
    """Why LoRA of these settings does not fit a model of this shape, a sentence each."""
    if (family := described(shape.model_type)) is None:
        return undescribed(shape)
    together, wanted = {"query", "key", "value"}, set(settings.targets)
    if family.paths.fused != "no" and together & wanted and together - wanted:
        return [f"{family.paths.query} keeps query, key and value in one matrix; name all three in `targets`, or none"]
    inner = {"query": shape.heads, "key": shape.groups, "value": shape.groups, "output": shape.heads}
    for part in PARTS:
        if part == "feed-forward":
            other = shape.feed_forward
        else:
            heads, size = inner[part], shape.head_size
            other = heads * size * (3 if _fused(family, part) else 1) if heads and size else None
        width = min((side for side in (shape.width, other) if side), default=settings.rank)
        if part in wanted and settings.rank > width:
            return [f"the rank {settings.rank} is above the width of {part}, which is {width}; lower `rank`"]
    return []


def _fused(family: Family, part: Part) -> bool:
    return family.paths.fused != "no" and part in ("query", "key", "value")


def is_lora(name: str) -> bool:
    """Whether a parameter of this name belongs to LoRA."""
    return NAMES.search(name) is not None


@dataclass
class LiveLora:
    """The LoRA of one step on a model."""

    step: str
    settings: LoraSettings
    factor: float = 1.0
    """On all of it, live or merged."""
    _handles: list[Any] = field(default_factory=list)
    _before: dict[str, torch.Tensor] = field(default_factory=dict)
    """The merged matrices as they were, for `take`."""
    _pairs: dict[str, tuple[torch.Tensor, torch.Tensor, float]] = field(default_factory=dict)
    """A, B and the share kept, of what was merged into them."""

    @property
    def key(self) -> str:
        """Its name among those of other steps; torch keeps some plain words for itself."""
        return "step_" + re.sub(r"\W", "_", self.step)

    # ------------------------------------------------------------------------------------------------- live
    def put(self, model: PreTrainedModel, seed: int) -> None:
        """Attach it: A is uniform within 1 / sqrt(inputs) as in `peft`, B is zero, so that no output changes.

        Raises UsageError for a rank above a matrix's width and for parts that a family keeps in one matrix with others.
        """
        import torch

        places = self.places(model)
        for path, matrix in places.items():
            self._demand_room(path, matrix)
        made = torch.Generator().manual_seed(seed)
        for matrix in places.values():
            whole = matrix.module.weight
            wide = whole.dtype if whole.dtype.itemsize >= 4 else torch.float32  # small updates need the digits
            outputs, inputs = matrix.weight().shape
            first = torch.empty(self.settings.rank, inputs, dtype=wide)
            first.uniform_(-(inputs**-0.5), inputs**-0.5, generator=made)
            self._attach(matrix.module, {"A": first, "B": torch.zeros(outputs, self.settings.rank, dtype=wide)})

    def _demand_room(self, path: str, matrix: Matrix) -> None:
        if self.settings.rank > (width := min(matrix.module.weight.shape)):
            raise UsageError(
                f"the rank {self.settings.rank} is above the width of {path}, which is {width}",
                where=f"step {self.step!r}",
                do="lower `rank`",
            )

    def _attach(self, module: Any, pair: Mapping[str, torch.Tensor]) -> None:
        import torch

        device, parts = module.weight.device, {}
        for name, tensor in pair.items():
            part = torch.nn.Linear(tensor.shape[1], tensor.shape[0], bias=False, device="meta")
            part.weight = torch.nn.Parameter(tensor.to(device))
            parts[f"lora_{name}"] = part
        for name, part in {**parts, "lora_dropout": torch.nn.Dropout(self.settings.dropout)}.items():
            if not hasattr(module, name):
                module.add_module(name, torch.nn.ModuleDict())
            part.evenhand_part = True  # steps that let all weights move leave it alone
            getattr(module, name)[self.key] = part.train(module.training)
        self._handles.append(module.register_forward_hook(self._adding(), prepend=True))

    def _adding(self) -> Any:
        key, scale = self.key, self.settings.scale

        def add(owner: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
            first, second = owner.lora_A[key], owner.lora_B[key]  # looked up, so that a copy has its own
            change = second(first(owner.lora_dropout[key](args[0].to(first.weight.dtype))))
            return out + (scale * self.factor * change).to(out.dtype)

        return add

    def names(self, model: PreTrainedModel) -> list[str]:
        """Names of its parameters, in the model's order."""
        own = re.compile(rf"\.lora_[AB]\.{re.escape(self.key)}\.weight$")
        return [name for name, _ in model.named_parameters() if own.search(name)]

    def tensors(self, model: PreTrainedModel) -> dict[str, torch.Tensor]:
        """A copy on the CPU by `PATH.lora_A` and `PATH.lora_B`; A is [rank, inputs], B [outputs, rank]."""
        own, found = set(self.names(model)), {}
        for name, parameter in model.named_parameters():
            if name in own:
                found[name.removesuffix(f".{self.key}.weight")] = parameter.detach().cpu().clone()
        return found

    def detach(self, model: PreTrainedModel) -> None:
        """Every trace of it goes; matrices stay as they are."""
        while self._handles:
            self._handles.pop().remove()
        for module in list(model.modules()):
            for name in ("lora_A", "lora_B", "lora_dropout"):
                held = vars(module).get("_modules", {}).get(name)
                if held is not None and self.key in held:
                    del held[self.key]
                    if not len(held):
                        delattr(module, name)

    # ----------------------------------------------------------------------------------------------- merged
    def merge(self, model: PreTrainedModel, tensors: Mapping[str, torch.Tensor], keep: float = 1.0) -> None:
        """W <- W + factor (alpha / r) B A in float64, or its largest entries, a share `keep` of each matrix.

        Raises UsageError for tensors of another model.
        """
        places = self.places(model)
        pairs = dict(pairs_of(tensors))
        for path, (first, second) in pairs.items():
            shape = tuple(places[path].weight().shape) if path in places else ()
            if (second.shape[0], first.shape[1]) != shape:
                raise UsageError(
                    f"the LoRA of {path} is for a matrix of {(second.shape[0], first.shape[1])}",
                    where=f"step {self.step!r}",
                    known=f"that of the model has {shape}" if shape else "the model has none there",
                    do="the artifact belongs to another model",
                )
        if not self.factor:
            return
        for path, (first, second) in pairs.items():
            weight = places[path].weight()
            self._before[path] = weight.detach().to("cpu", copy=True)
            self._pairs[path] = (first, second, keep)
            places[path].write((self._before[path].double() + self._change(path)).to(weight))

    def _change(self, path: str) -> torch.Tensor:
        first, second, keep = self._pairs[path]
        change = self.factor * self.settings.scale * (second.double() @ first.double())
        return change if keep == 1.0 else largest(change, keep)

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before, to the bit; from a matrix that was changed since, what was merged is taken."""
        import torch

        self.detach(model)
        places = self.places(model) if self._before else {}
        while self._before:
            path, before = self._before.popitem()
            weight, change = places[path].weight(), self._change(path)
            now = weight.detach().to("cpu")
            untouched = torch.equal(now, (before.double() + change).to(now))
            places[path].write((before if untouched else now.double() - change).to(weight))
        self._pairs.clear()

    def forget(self) -> None:
        """Keep the merged matrices no longer as they were."""
        self._before.clear()
        self._pairs.clear()

    def places(self, model: PreTrainedModel) -> dict[str, Matrix]:
        """The chosen matrices by the path of their module, from the first layer to the last, each module once."""
        layers = layers_of(model)
        late = len(layers) - math.ceil(self.settings.layers * len(layers))
        names = {id(module): name for name, module in model.named_modules()}
        found = {}
        for layer in layers[late:]:
            for matrix in self._of_layer(layer):
                whole = Matrix(path=matrix.path, module=matrix.module, transposed=matrix.transposed)
                found[names[id(matrix.module)]] = whole
        return found

    def _of_layer(self, layer: Any) -> Iterator[Matrix]:
        wanted = set(self.settings.targets)
        together = {"query", "key", "value"}
        if layer.query.rows is not None and together & wanted and together - wanted:
            raise UsageError(
                f"{layer.query.path} keeps query, key and value in one matrix",
                where=f"step {self.step!r}",
                do="name all three in `targets`, or none",
            )
        for part in PARTS:
            if part not in wanted:
                continue
            if part == "feed-forward":
                yield from (*layer.feed_forward_in, layer.feed_forward_out)
            else:
                yield getattr(layer, part)


def pairs_of(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Path -> (A [rank, inputs], B [outputs, rank]), of tensors named as `LiveLora.tensors` does."""
    for name in tensors:
        if name.endswith(".lora_A"):
            path = name.removesuffix(".lora_A")
            yield path, (tensors[name], tensors[f"{path}.lora_B"])


def largest(change: torch.Tensor, keep: float) -> torch.Tensor:
    """The entries of greatest magnitude, a share `keep` of all; the others are 0 (Yadav et al. 2023)."""
    import torch

    flat = change.flatten()
    chosen = flat.abs().topk(max(1, round(keep * flat.numel()))).indices
    out = torch.zeros_like(flat)
    out[chosen] = flat[chosen]
    return out.view(change.shape)


def present(model: PreTrainedModel) -> bool:
    """Whether a model has LoRA that is not merged."""
    return any(is_lora(name) for name, _ in model.named_parameters())

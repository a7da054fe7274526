"""Closed-form model editing: feed-forward blocks write the same for both groups, and for plain text what they wrote.

    D = (V* - W K) K' (lambda C + K K')^-1          W -> W + s D

W is the output matrix of a feed-forward block, K the keys that it reads at words that name no group, behind the words
of one group and of the other. V* averages what it writes for the two keys of a word, so with d the difference of two
keys, (V* - W K) K' = -1/2 W sum d d'. C is the second moment of keys of plain text. Layers are edited one after
another, each behind the edits before it, and the edits are added to the matrices: nothing is left to compute.

Sources: Meng et al. 2023, Mass-editing memory in a transformer (the algebra); the target is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from evenhand_sdk import (
    Artifact,
    AxisName,
    Locale,
    Material,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    StrengthOptions,
    hookimpl,
    load_axis,
)
from evenhand_sdk.benchmark_data import builtin_lines
from evenhand_standard.architecture.erasure_fitting import Share
from evenhand_standard.architecture.erasure_sites import KEYS, Site
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.group_pairs import fitting_pairs, material_of
from evenhand_standard.architecture.labelled_states import (
    Labelled,
    demand_enough,
    labelled,
    spared_tokens,
    stream,
    tokens_of,
)
from evenhand_standard.architecture.layer_parts import chosen_layers, layers_of
from evenhand_standard.architecture.linear_patches import LivePatches
from evenhand_standard.architecture.moments import wide

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TEXT = "everyday"
RIDGE = 1e-4
"""Of the mean second moment of a key, added so that a solution exists where keys are fewer than columns."""


class ModelEditingOptions(StrengthOptions):
    """Options of `model-editing`; `strength` is the share of the edit that is added."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    layers: tuple[Share, Share] = Field((0.9, 1.0), description="From which share of the depth to which.")
    preserve: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="Weight of plain text against the pairs: higher changes less. lambda above."
    )
    pairs: Annotated[int, Field(ge=1)] = Field(240, description="Pairs of sentences that it is fitted on.")
    texts: Annotated[int, Field(ge=1)] = Field(200, description="Plain texts whose keys keep their values.")

    @model_validator(mode="after")
    def _in_order(self) -> ModelEditingOptions:
        if self.layers[0] > self.layers[1]:
            raise ValueError(f"layers begin at {self.layers[0]:g} of the depth, behind their end, {self.layers[1]:g}")
        return self


class ModelEditing(Mitigation):
    """Rewrites feed-forward matrices so that the words of two groups lead to the same values."""

    name = "model-editing"
    summary = "Edits feed-forward matrices in closed form, so that words of two groups lead to the same values."
    source = "Meng et al. 2023, Mass-editing memory in a transformer (algebra); target of this project"
    Options = ModelEditingOptions
    example_options: ClassVar[Mapping[str, Any]] = {"pairs": 16, "texts": 8}

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return undescribed(shape)

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o, live = self.options, LivePatches(run.step_id, self.options.strength)

        def fit(model: PreTrainedModel) -> Artifact:
            return edits(run, model, o) if o.strength else Artifact()

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            live.put(model, {int(name.partition(".")[0]): patch for name, patch in artifact.tensors.items()})

        return ModelTransform(fit=fit, apply=apply, revert=live.take, fold=live.fold)


class Keys:
    """Second moments of the keys of one layer, added up in float64 while they stream by."""

    def __init__(self, width: int) -> None:
        import torch

        self.pairs = torch.zeros(width, width, dtype=torch.float64)
        self.differences = torch.zeros(width, width, dtype=torch.float64)
        self.plain = torch.zeros(width, width, dtype=torch.float64)
        self.counted = self.read = 0

    def add_pairs(self, states: torch.Tensor, rows: list[Labelled]) -> None:
        """Keys of both sides of each pair; side by side in `rows`, with as many places each."""
        import torch

        keys = wide(tokens_of(states, rows)[0])
        sides = torch.tensor(
            [k % 2 for k, row in enumerate(rows) for _ in row.places], dtype=torch.bool, device=keys.device
        )
        apart = keys[~sides] - keys[sides]
        self.pairs = self.pairs.to(keys.device).addmm_(keys.T, keys)
        self.differences = self.differences.to(keys.device).addmm_(apart.T, apart)
        self.counted += len(keys)

    def add_plain(self, states: torch.Tensor, rows: list[Labelled]) -> None:
        """Keys of plain text."""

        keys = wide(tokens_of(states, rows)[0])
        self.plain = self.plain.to(keys.device).addmm_(keys.T, keys)
        self.read += len(keys)

    def settle(self) -> None:
        """All that was added up, on the CPU, where it is solved."""
        self.pairs, self.differences, self.plain = (t.cpu() for t in (self.pairs, self.differences, self.plain))


def edit(weight: torch.Tensor, keys: Keys, preserve: float) -> torch.Tensor:
    """D [H, I] in float32 for W [H, I]."""
    import torch

    pairs, plain = keys.pairs / keys.counted, keys.plain / max(1, keys.read)
    metric = pairs + preserve * plain
    metric = metric + RIDGE * metric.trace() / len(metric) * torch.eye(len(metric), dtype=torch.float64)
    wanted = -0.5 * weight.to("cpu", torch.float64) @ (keys.differences / keys.counted)
    return torch.linalg.solve(metric, wanted.T).T.float().contiguous()


def edits(run: RunContext, model: PreTrainedModel, o: ModelEditingOptions) -> Artifact:
    """`LAYER.edit` for each layer; `meta` has how much of the difference of the values is left there."""
    axis = load_axis(o.axis, o.locale)
    layers = chosen_layers(layers_of(model), *o.layers)
    spared = spared_tokens(run, model, axis).tolist()
    rows = labelled(run, axis, fitting_pairs(axis, o.pairs), spared, "neutral")
    demand_enough(axis, rows)
    plain = plain_rows(run, o.texts)
    live = LivePatches(run.step_id, 1.0)
    tensors: dict[str, torch.Tensor] = {}
    left: dict[str, float] = {}
    try:
        for layer in layers:
            site, keys = Site(layer, KEYS), Keys(layer.feed_forward_out.inputs)
            stream(run, model, rows, {site: keys.add_pairs}, title=f"Reading keys of layer {layer.number}")
            stream(run, model, plain, {site: keys.add_plain}, title=f"Reading plain text at layer {layer.number}")
            keys.settle()
            weight = layer.feed_forward_out.weight()
            patch = edit(weight, keys, o.preserve)
            tensors[f"{layer.number}.edit"] = patch
            left[str(layer.number)] = share_left(weight, patch, keys)
            live.put_at(layer.feed_forward_out, patch)
    finally:
        live.take(model)
    meta = {"difference left": left, "states": sum(len(row.places) for row in rows), "plain texts": len(plain)}
    return Artifact(tensors=tensors, meta=meta)


def share_left(weight: torch.Tensor, patch: torch.Tensor, keys: Keys) -> float:
    """|(W + D) d| over |W d|, both as roots of sums of squares over all pairs; 0 where the keys do not differ."""
    import torch

    before = weight.to("cpu", torch.float64)
    after = before + patch.double()
    sizes = [float(torch.einsum("hi,ij,hj->", w, keys.differences, w).clamp_min(0)) for w in (before, after)]
    return (sizes[1] / sizes[0]) ** 0.5 if sizes[0] else 0.0


def plain_rows(run: RunContext, texts: int) -> Sequence[Labelled]:
    """Every token that is not special of so many texts, spread over the packaged plain text."""
    lines = builtin_lines(TEXT)
    special = set(run.tokenizer.all_special_ids)
    found = []
    for k in range(min(texts, len(lines))):
        line = lines[k * len(lines) // min(texts, len(lines))]
        ids = tuple(int(i) for i in run.tokenizer(line)["input_ids"])
        found.append(Labelled(ids, tuple(t for t, i in enumerate(ids) if i not in special), 0, 0))
    return found

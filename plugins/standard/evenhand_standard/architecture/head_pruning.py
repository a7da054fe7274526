"""Fairness-aware pruning: attention heads go whose removal makes the groups most alike; those the language needs stay.

    b(h) = gap(model without h) - gap(model)            q(h) = loss(model without h) - loss(model)

The heads with the highest q, a share of all, are protected; of the others, those with the lowest b go, as far as it is
below zero. Nothing is trained. A first-order estimate, -d gap / d gate, is had for all heads from one backward pass; by
default it chooses which heads are measured one by one.

Source: Zayed et al. 2024, Fairness-aware structured pruning in transformers. Its bias is the toxicity of continuations
of HolisticBias prompts; ours is the divergence of next-token distributions on pairs of sentences (`pair_probe.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Artifact,
    AxisName,
    Locale,
    Material,
    Mitigation,
    ModelTransform,
    RunContext,
    StrengthOptions,
    hookimpl,
    load_axis,
    progress,
)
from evenhand_standard.architecture.group_pairs import material_of
from evenhand_standard.architecture.head_gates import LiveGates, shut
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.pair_probe import PASSAGE, PairProbe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CANDIDATES = 3
"""Heads that are measured one by one, for each that may go, where gradients choose them."""


class HeadPruningOptions(StrengthOptions):
    """Options of `head-pruning`; `strength` is the share of its output that a pruned head loses."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(0.05, description="Share of all heads that may go.")
    protect: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.4, description="Share of all heads that stay because the language needs them most."
    )
    scores: Literal["gradient", "exact"] = Field(
        "gradient", description="Measure the most promising heads by gradients, or every head: one measurement each."
    )
    axis: AxisName = "gender"
    locale: Locale = "en"
    pairs: Annotated[int, Field(ge=1)] = Field(60, description="Pairs of sentences on which the gap is measured.")
    texts: Annotated[int, Field(ge=1)] = Field(60, description="Plain texts on which the loss is measured.")

    @model_validator(mode="after")
    def _some_are_left(self) -> HeadPruningOptions:
        if self.share + self.protect > 1.0:
            raise ValueError(f"share {self.share:g} and protect {self.protect:g} are more than all heads together")
        return self


class HeadPruning(Mitigation):
    """Takes away the attention heads that treat groups differently and that the language does not need."""

    name = "head-pruning"
    summary = "Takes away attention heads whose removal makes the groups most alike, sparing those the language needs."
    source = "Zayed et al. 2024, Fairness-aware structured pruning in transformers"
    controls = ("random-heads",)
    Options = HeadPruningOptions
    example_options: ClassVar[Mapping[str, Any]] = {"share": 0.3, "protect": 0.0, "pairs": 4, "texts": 4}

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o, live = self.options, LiveGates(run.step_id)

        def fit(model: PreTrainedModel) -> Artifact:
            return chosen(run, model, o, LiveGates(run.step_id)) if o.strength else Artifact()

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            if o.strength:
                live.put(model, shut(artifact.tensors["kept"], o.strength))

        return ModelTransform(fit=fit, apply=apply, revert=live.take, fold=live.fold)


@dataclass(frozen=True)
class Score:
    """What the removal of one head does."""

    layer: int
    head: int
    gap: float
    """b in nat."""
    loss: float
    """q in nat per token."""
    measured: bool
    """Else both are first-order estimates."""


def pruned(scores: Sequence[Score], share: float, protect: float, *, most: int = 1) -> list[Score]:
    """The unprotected heads whose removal lowers the gap, the best first: `most` times as many as may go, at most."""
    allowed = max(1, int(share * len(scores) + 1e-9))
    guarded = int(protect * len(scores) + 1e-9)
    free = sorted(scores, key=lambda s: -s.loss)[guarded:]
    return lowering(free)[: most * allowed]


def lowering(scores: Sequence[Score]) -> list[Score]:
    """The heads whose removal lowers the gap, the best first."""
    return sorted((s for s in scores if s.gap < 0), key=lambda s: (s.gap, s.layer, s.head))


def chosen(run: RunContext, model: PreTrainedModel, o: HeadPruningOptions, live: LiveGates) -> Artifact:
    """`kept` [layers, heads], 0 for the heads that go, and the scores in `meta`."""
    import torch

    together = PASSAGE if run.kind == "causal" else 1  # of a masked model each place is a pass of its own
    probe = PairProbe.of(run, model, load_axis(o.axis, o.locale), o.pairs, o.texts, together=together)
    layers = layers_of(model)
    depth, heads = len(layers), layers[0].heads
    every = [(k, h) for k in range(depth) for h in range(heads)]
    if o.scores == "gradient":
        estimates = estimated(model, probe, live, depth, heads)
        candidates = pruned(estimates, o.share, o.protect, most=CANDIDATES)
        # Which heads are protected has been decided; only the gap of the candidates is measured again.
        found = measured(model, probe, live, depth, heads, [(s.layer, s.head) for s in candidates])
        gone = lowering(found)[: max(1, int(o.share * len(every) + 1e-9))]
        scores: Sequence[Score] = found
    else:
        scores = measured(model, probe, live, depth, heads, every)
        gone = pruned(scores, o.share, o.protect)
    kept = torch.ones(depth, heads)
    for score in gone:
        kept[score.layer, score.head] = 0.0
    meta = {
        "pruned": [[s.layer, s.head] for s in gone],
        "heads": len(every),
        "scores": [[s.layer, s.head, s.gap, s.loss] for s in scores],
    }
    return Artifact(tensors={"kept": kept}, meta=meta)


def estimated(model: PreTrainedModel, probe: PairProbe, live: LiveGates, depth: int, heads: int) -> list[Score]:
    """First-order scores of all heads: minus the gradient by each gate at 1."""
    import torch

    gates = torch.ones(depth, heads, device=model.device, requires_grad=True)
    gap, loss = torch.zeros(depth, heads), torch.zeros(depth, heads)
    live.put(model, gates)
    try:
        with torch.enable_grad(), progress("Estimating heads", total=2, unit="passes") as bar:
            for value, count in probe.gaps(model):
                gap += count * torch.autograd.grad(value, gates)[0].cpu()
            bar.advance()
            for values in probe.losses(model):
                loss += torch.autograd.grad(values.sum(), gates)[0].cpu()
            bar.advance()
    finally:
        live.take(model)
    gap = -gap / sum(pair.positions for pair in probe.pairs)
    loss = -loss / sum(len(tokens) for tokens in probe.wanted)
    return [Score(k, h, float(gap[k, h]), float(loss[k, h]), False) for k in range(depth) for h in range(heads)]


def measured(
    model: PreTrainedModel,
    probe: PairProbe,
    live: LiveGates,
    depth: int,
    heads: int,
    which: Sequence[tuple[int, int]],
) -> list[Score]:
    """Exact scores of some heads: two measurements of the whole model, and two without each of them."""
    import torch

    found = []
    with progress("Measuring heads", total=1 + len(which), unit="heads") as bar:
        gap, loss = probe.gap(model), probe.loss(model)
        bar.advance()
        for layer, head in which:
            gates = torch.ones(depth, heads)
            gates[layer, head] = 0.0
            live.put(model, gates)
            try:
                found.append(Score(layer, head, probe.gap(model) - gap, probe.loss(model) - loss, True))
            finally:
                live.take(model)
            bar.advance()
    return found

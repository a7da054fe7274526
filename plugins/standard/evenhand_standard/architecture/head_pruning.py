"""Fairness-aware pruning: attention heads go whose removal makes the groups most alike; those the language needs stay.

    b(h) = gap(model without h) - gap(model)            q(h) = loss(model without h) - loss(model)

The heads with the highest q, a share of all, are protected; of the others, those with the lowest b go, one behind the
other, as far as each still lowers the gap and the quality that is left is enough. Nothing is trained. A first-order
estimate, -d gap / d gate, is had for all heads from one backward pass; by default it chooses which heads are measured
one by one.

Source: Zayed et al. 2024, Fairness-aware structured pruning in transformers. Its bias is the toxicity of continuations
of HolisticBias prompts; ours is the divergence of next-token distributions on pairs of sentences (`pair_probe.py`). The
bound on quality is ours (decision 88); `quality = "any"` is as published, where the share alone decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Artifact,
    Material,
    Mitigation,
    ModelShape,
    ModelTransform,
    Plugin,
    RunContext,
    hookimpl,
    load_axis,
    progress,
)
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.group_pairs import material_of
from evenhand_standard.architecture.head_gates import LiveGates, shut
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.pair_probe import PairProbe
from evenhand_standard.architecture.quality_bound import ALONE, Quality, QualityBound, affords, found_none
from evenhand_standard.architecture.search_options import SearchOptions
from evenhand_standard.architecture.text_probe import TextProbe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CANDIDATES = 3
"""Heads that are measured one by one, for each that may go, where gradients choose them."""


class HeadPruningOptions(SearchOptions):
    """Options of `head-pruning`; `strength` is the share of its output that a pruned head loses."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(0.05, description="Share of all heads that may go.")
    protect: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.4, description="Share of all heads that stay because the language needs them most."
    )
    scores: Literal["gradient", "exact"] = Field(
        "gradient", description="Measure the most promising heads by gradients, or every head: one measurement each."
    )
    quality: Quality | Literal["any"] | None = Field(  # type: ignore[assignment]
        None,
        description="Heads go as long as this share of the quality is kept, on sentences and on longer texts: "
        "perplexity before over after; without it, what the recipe's budget leaves. any: the share alone decides.",
    )

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
    example_options: ClassVar[Mapping[str, Any]] = {
        "share": 0.3,
        "protect": 0.0,
        "pairs": 4,
        "texts": 4,
        "samples": 2,
        "quality": "any",
    }

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return undescribed(shape)

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
    return lowering(unprotected(scores, protect))[: most * allowed(len(scores), share)]


def allowed(heads: int, share: float) -> int:
    """How many of so many heads may go: at least one."""
    return max(1, int(share * heads + 1e-9))


def unprotected(scores: Sequence[Score], protect: float) -> list[Score]:
    """All but the share of heads that the language needs most."""
    return sorted(scores, key=lambda s: -s.loss)[int(protect * len(scores) + 1e-9) :]


def lowering(scores: Sequence[Score]) -> list[Score]:
    """The heads whose removal lowers the gap, the best first."""
    return sorted((s for s in scores if s.gap < 0), key=lambda s: (s.gap, s.layer, s.head))


def chosen(run: RunContext, model: PreTrainedModel, o: HeadPruningOptions, live: LiveGates) -> Artifact:
    """`kept` [layers, heads], 0 for the heads that go, and the scores in `meta`."""
    import torch

    probe = PairProbe.of(run, model, load_axis(o.axis, o.locale), o.pairs)
    masked = run.kind == "masked"  # of which each place is a pass of its own
    texts = TextProbe.of(run, model, min(o.texts, ALONE)) if masked else TextProbe.written(run, model, o.samples)
    layers = layers_of(model)
    depth, heads = len(layers), layers[0].heads
    every = [(k, h) for k in range(depth) for h in range(heads)]
    if o.scores == "gradient":
        estimates = estimated(model, probe, texts, live, depth, heads)
        candidates = pruned(estimates, o.share, o.protect, most=CANDIDATES)
        # Which heads are protected has been decided; only the gap of the candidates is measured again.
        scores = measured(model, probe, texts, live, depth, heads, [(s.layer, s.head) for s in candidates])
        ready = lowering(scores)
    else:
        scores = measured(model, probe, texts, live, depth, heads, every)
        ready = lowering(unprotected(scores, o.protect))
    meta: dict[str, Any] = {"heads": len(every), "scores": [[s.layer, s.head, s.gap, s.loss] for s in scores]}
    gone = ready[: allowed(len(every), o.share)]
    if o.quality != "any":
        bound = QualityBound.of(run, model, o.texts, o.samples, o.quality)
        gone, meta["tried"] = affordable(model, probe, bound, live, (depth, heads), ready, len(gone))
        meta["quality"] = bound.least
    if not gone:
        tried = meta.get("tried") or []
        meta["idle"] = (
            found_none(tried, meta["quality"]) if tried else "no head that may go makes the groups more alike"
        )
    kept = torch.ones(depth, heads)
    for score in gone:
        kept[score.layer, score.head] = 0.0
    return Artifact(tensors={"kept": kept}, meta={"pruned": [[s.layer, s.head] for s in gone], **meta})


def affordable(
    model: PreTrainedModel,
    probe: PairProbe,
    bound: QualityBound,
    live: LiveGates,
    shape: tuple[int, int],
    ready: Sequence[Score],
    most: int,
) -> tuple[list[Score], list[dict[str, Any]]]:
    """The first `most` of these heads that go together, and what was tried.

    A head stays where, beside those that have gone, it lowers the gap no further or leaves too little quality.
    """
    import torch

    gone: list[Score] = []
    tried: list[dict[str, Any]] = []
    gates, least = torch.ones(shape), probe.gap(model)
    with progress("Taking heads away", total=len(ready), unit="heads") as bar:
        for score in ready:
            if len(gone) == most:
                break
            without = gates.clone()
            without[score.layer, score.head] = 0.0
            live.put(model, without)
            try:
                gap, quality, goes = affords(model, probe, bound, least)
            finally:
                live.take(model)
            tried.append({"head": [score.layer, score.head], "gap": gap, "quality": quality, "gone": goes})
            if goes:
                gates, least = without, gap
                gone.append(score)
            bar.advance()
    return gone, tried


def estimated(
    model: PreTrainedModel, probe: PairProbe, texts: TextProbe, live: LiveGates, depth: int, heads: int
) -> list[Score]:
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
            for values in texts.losses(model):
                loss += torch.autograd.grad(values.sum(), gates)[0].cpu()
            bar.advance()
    finally:
        live.take(model)
    gap = -gap / probe.positions
    loss = -loss / texts.tokens
    return [Score(k, h, float(gap[k, h]), float(loss[k, h]), False) for k in range(depth) for h in range(heads)]


def measured(
    model: PreTrainedModel,
    probe: PairProbe,
    texts: TextProbe,
    live: LiveGates,
    depth: int,
    heads: int,
    which: Sequence[tuple[int, int]],
) -> list[Score]:
    """Exact scores of some heads: two measurements of the whole model, and two without each of them."""
    import torch

    found = []
    with progress("Measuring heads", total=1 + len(which), unit="heads") as bar:
        gap, loss = probe.gap(model), texts.loss(model)
        bar.advance()
        for layer, head in which:
            gates = torch.ones(depth, heads)
            gates[layer, head] = 0.0
            live.put(model, gates)
            try:
                found.append(Score(layer, head, probe.gap(model) - gap, texts.loss(model) - loss, True))
            finally:
                live.take(model)
            bar.advance()
    return found

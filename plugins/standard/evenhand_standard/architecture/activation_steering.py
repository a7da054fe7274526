"""Gated activation steering: where a probe calls a hidden state stereotyped, a direction is added to it.

    v = mean over the groups g of  mean over pairs with an occupation tied to g of  h(other group) - h(g)
    h -> h + s a v    where  w . h + b > 0

at the last token. w and b are a logistic probe of the same states; sentences about occupations that are tied to no
group count as not stereotyped. Within each class, every combination of association and group counts equally, so neither
the group of a sentence nor its occupation alone says anything. The layer is the one whose probe is most accurate on
occupations that it was not fitted on, a fifth of each association. The state of a position decides about that position
alone, so the same rule holds for given and for written text.

Source: Li et al. 2025, FairSteer: inference time debiasing for LLMs with dynamic activation steering. Its pairs are
answers to BBQ questions; ours are sentences of the pair bank, which no benchmark of this toolkit measures with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_standard.architecture.erasure_fitting import Share
from evenhand_standard.architecture.erasure_sites import Site
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.group_pairs import NONE, GroupPair, fitting_pairs, material_of
from evenhand_standard.architecture.labelled_states import FEWEST, Labelled, stream, tokens_of
from evenhand_standard.architecture.layer_parts import chosen_layers, layers_of
from evenhand_standard.architecture.live_hooks import Beside, Hooks
from evenhand_standard.architecture.logistic_probe import Probe, fit_probe

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HELD_OUT = 5
"""Each fifth occupation of each association judges the probes, and is not fitted on."""


class ActivationSteeringOptions(StrengthOptions):
    """Options of `activation-steering`; `strength` times `amount` is how far states are moved along v."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    amount: Annotated[float, Field(gt=0.0, le=10.0)] = Field(1.0, description="Factor of the direction.")
    gated: bool = Field(True, description="Move only states that the probe calls stereotyped; else all.")
    layers: tuple[Share, Share] = Field((1 / 4, 3 / 4), description="Between which shares of the depth it is searched.")
    least_accuracy: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.6, description="A probe less accurate on tied occupations held out is refused; 0.5 is chance."
    )
    pairs: Annotated[int, Field(ge=1)] = Field(480, description="Pairs of sentences that it is fitted on.")

    @model_validator(mode="after")
    def _in_order(self) -> ActivationSteeringOptions:
        if self.layers[0] > self.layers[1]:
            raise ValueError(f"layers begin at {self.layers[0]:g} of the depth, behind their end, {self.layers[1]:g}")
        return self


class ActivationSteering(Mitigation):
    """Moves hidden states that a probe calls stereotyped towards those of the other group."""

    name = "activation-steering"
    summary = "Adds a direction to hidden states, where a probe says that they carry a stereotype."
    source = "Li et al. 2025, FairSteer: inference time debiasing for LLMs with dynamic activation steering"
    Options = ActivationSteeringOptions
    example_options: ClassVar[Mapping[str, Any]] = {"pairs": 120, "least_accuracy": 0.0}

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return undescribed(shape)

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o, hooks = self.options, Hooks()

        def fit(model: PreTrainedModel) -> Artifact:
            return fitted(run, model, o) if o.strength else Artifact()

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            if artifact.tensors:
                steer(run.step_id, model, hooks, artifact, o.strength * o.amount, gated=o.gated)

        return ModelTransform(fit=fit, apply=apply, revert=lambda model: hooks.remove())


def steer(step: str, model: PreTrainedModel, hooks: Hooks, artifact: Artifact, amount: float, *, gated: bool) -> None:
    """Move states behind the layer of the artifact from now on. UsageError for an artifact of another model."""
    import torch

    layers, number = layers_of(model), int(artifact.meta["layer"])
    direction, probe = artifact.tensors["direction"], Probe.read(artifact.tensors)
    width = int(model.get_input_embeddings().embedding_dim)
    if number >= len(layers) or len(direction) != width:
        raise UsageError(
            f"the direction is for layer {number} and states of width {len(direction)}",
            where=f"step {step!r}",
            known=f"the model has {len(layers)} layers and states of width {width}",
            do="the artifact belongs to another model",
        )

    further, weight, bias = (Beside(t) for t in (amount * direction, probe.weight, probe.bias))

    def moved(states: torch.Tensor) -> torch.Tensor:
        wide = states.float()
        there = (wide + further.like(wide)).to(states.dtype)
        if not gated:
            return there
        with torch.autocast(wide.device.type, enabled=False):  # which would multiply in bf16
            odds = wide @ weight.like(wide) + bias.like(wide)
        return torch.where((odds > 0)[..., None], there, states)

    hooks.on_output(layers[number].module, moved)


def fitted(run: RunContext, model: PreTrainedModel, o: ActivationSteeringOptions) -> Artifact:
    """Direction and probe of the layer whose probe is the most accurate; `meta` has the accuracy of each layer."""
    import torch

    pairs = fitting_pairs(load_axis(o.axis, o.locale), o.pairs)
    rows, cells = sentences(run, pairs), cells_of(pairs)
    judging = judges(pairs)
    held = [pair.occupation in judging for pair in pairs for _ in pair.texts]
    demand_examples(o, cells, held)
    sites = [Site(layer, "residual") for layer in chosen_layers(layers_of(model), *o.layers)]
    states: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}

    def keeping(site: Site) -> Any:
        return lambda batch, few: states[site].append(tokens_of(batch, few)[0].to("cpu", torch.float64))

    stream(run, model, rows, {site: keeping(site) for site in sites})
    labels, out = torch.tensor([float(cell.biased) for cell in cells], dtype=torch.float64), torch.tensor(held)
    shares = torch.tensor(shares_of(cells, held), dtype=torch.float64)
    best: tuple[float, int, torch.Tensor, Probe] | None = None
    told: dict[str, float] = {}
    neutral: dict[str, float | None] = {}
    for site in sites:
        x = torch.cat(states.pop(site))
        probe = fit_probe(x[~out], labels[~out], shares[~out])
        accuracy, spared = judged(probe, x, cells, held)
        told[str(site.layer.number)] = accuracy
        neutral[str(site.layer.number)] = spared
        if best is None or accuracy > best[0]:
            best = (accuracy, site.layer.number, direction_of(x, pairs), probe)
    assert best is not None
    accuracy, layer, direction, probe = best
    if accuracy < o.least_accuracy:
        raise UsageError(
            "no layer tells stereotyped sentences from others: the best probe is right in "
            f"{100 * accuracy:.0f} % of cases",
            where=f"step {run.step_id!r}",
            known="0.5 is chance, also for a probe that hears the group or the occupation alone; measured on "
            "occupations that it was not fitted on",
            do="take more pairs or another model; least_accuracy = 0 goes on all the same",
        )
    meta = {"layer": layer, "accuracy": told, "neutral spared": neutral, "sentences": len(rows)}
    return Artifact(tensors={"direction": direction, **probe.tensors()}, meta=meta)


@dataclass(frozen=True)
class Cell:
    """What kind of sentence one is."""

    association: str
    """The group that its occupation is tied to, or `none`."""
    group: str
    """The group that it names."""

    @property
    def biased(self) -> bool:
        return self.group == self.association


def sentences(run: RunContext, pairs: Sequence[GroupPair]) -> list[Labelled]:
    """Both sides of each pair, read at their last token."""
    special = set(run.tokenizer.all_special_ids)
    rows = []
    for text in (text for pair in pairs for text in pair.texts):
        ids = tuple(int(i) for i in run.tokenizer(text)["input_ids"])
        last = max(t for t, i in enumerate(ids) if i not in special)
        rows.append(Labelled(ids, (last,), 0, 0))
    return rows


def cells_of(pairs: Sequence[GroupPair]) -> list[Cell]:
    """The cell of each sentence, in the order of `sentences`."""
    return [Cell(pair.association, group) for pair in pairs for group in pair.groups]


def judges(pairs: Sequence[GroupPair]) -> set[str]:
    """The occupations that are held out: each fifth of each association, in alphabetical order."""
    tied: dict[str, set[str]] = {}
    for pair in pairs:
        tied.setdefault(pair.association, set()).add(pair.occupation)
    return {name for names in tied.values() for name in sorted(names)[::HELD_OUT]}


def shares_of(cells: Sequence[Cell], held: Sequence[bool]) -> list[float]:
    """The weight of each sentence in the fit: both classes one half, in a class every cell alike; 0 where held out."""
    counts: Counter[Cell] = Counter(cell for cell, out in zip(cells, held, strict=True) if not out)
    kinds = Counter(cell.biased for cell in counts)
    return [0.0 if out else 0.5 / kinds[c.biased] / counts[c] for c, out in zip(cells, held, strict=True)]


def judged(
    probe: Probe, states: torch.Tensor, cells: Sequence[Cell], held: Sequence[bool]
) -> tuple[float, float | None]:
    """How often the probe is right on what is held out: of tied occupations, and of others, None where there are none.

    The first is the mean over the cells of association and group, so that it is 0.5 for every probe that depends on
    one of the two alone.
    """
    called = (probe(states) > 0).tolist()
    right: dict[Cell, list[bool]] = {}
    for cell, said, out in zip(cells, called, held, strict=True):
        if out:
            right.setdefault(cell, []).append(said == cell.biased)
    tied, others = (
        [sum(v) / len(v) for c, v in right.items() if (c.association != NONE) is kind] for kind in (True, False)
    )
    return sum(tied) / len(tied), sum(others) / len(others) if others else None


def demand_examples(o: ActivationSteeringOptions, cells: Sequence[Cell], held: Sequence[bool]) -> None:
    """UsageError when associations are unknown, or stereotyped sentences too few to fit on or to judge by."""
    tied = {cell for cell in cells if cell.association != NONE}
    if not tied:
        raise UsageError(
            f"no occupations are known to be tied to groups of the axis {o.axis!r} in {o.locale!r}",
            where="option axis",
            known="the pair bank knows them for gender in English",
        )
    fitted_on = sum(c.biased and not out for c, out in zip(cells, held, strict=True))
    missing = [
        f"{cell.group} with an occupation tied to {cell.association}"
        for cell in sorted(tied, key=str)
        if not all(any(c == cell and out is kind for c, out in zip(cells, held, strict=True)) for kind in (True, False))
    ]
    if len({cell.association for cell in tied}) < 2:
        missing.append("occupations tied to the other group")
    if fitted_on < FEWEST or missing:
        raise UsageError(
            f"too few stereotyped sentences: {fitted_on} to fit on" + "".join(f", no {what}" for what in missing[:1]),
            where="option pairs",
            known=f"at least {FEWEST} are needed, and each association with each group both to fit on and to judge by",
            do="take more pairs",
        )


def direction_of(states: torch.Tensor, pairs: Sequence[GroupPair]) -> torch.Tensor:
    """The mean [H] of other group minus tied group, each association counting alike; states [2 pairs, H]."""
    sides = states.view(len(pairs), 2, -1)
    apart: dict[str, list[torch.Tensor]] = {}
    for k, pair in enumerate(pairs):
        if pair.association != NONE:
            tied = pair.groups.index(pair.association)
            apart.setdefault(pair.association, []).append(sides[k, 1 - tied] - sides[k, tied])
    means = [sum(found[1:], found[0]) / len(found) for found in apart.values()]
    return (sum(means[1:], means[0]) / len(means)).float()

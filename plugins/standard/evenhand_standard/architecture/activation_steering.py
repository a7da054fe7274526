"""Gated activation steering: where a probe calls a hidden state stereotyped, a direction is added to it.

    v = mean over pairs of  h(other group) - h(group that the occupation is tied to)        at the last token
    h -> h + s a v    where  w . h + b > 0

w and b are a logistic probe of the same states; sentences about occupations that are tied to no group count as not
stereotyped. The layer is the one whose probe is most accurate on occupations that it was not fitted on. The state of a
position decides about that position alone, so the same rule holds for given and for written text.

Source: Li et al. 2025, FairSteer: inference time debiasing for LLMs with dynamic activation steering. Its pairs are
answers to BBQ questions; ours are sentences of the pair bank, which no benchmark of this toolkit measures with.
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
    ModelTransform,
    RunContext,
    StrengthOptions,
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_standard.architecture.erasure_fitting import Share
from evenhand_standard.architecture.erasure_sites import Site
from evenhand_standard.architecture.group_pairs import NONE, GroupPair, fitting_pairs, material_of
from evenhand_standard.architecture.labelled_states import FEWEST, Labelled, stream, tokens_of
from evenhand_standard.architecture.layer_parts import chosen_layers, layers_of
from evenhand_standard.architecture.live_hooks import Hooks
from evenhand_standard.architecture.logistic_probe import Probe, balanced_accuracy, fit_probe

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HELD_OUT = 5
"""Each fifth occupation judges the probes, and is not fitted on."""


class ActivationSteeringOptions(StrengthOptions):
    """Options of `activation-steering`; `strength` times `amount` is how far states are moved along v."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    amount: Annotated[float, Field(gt=0.0, le=10.0)] = Field(1.0, description="Factor of the direction.")
    gated: bool = Field(True, description="Move only states that the probe calls stereotyped; else all.")
    layers: tuple[Share, Share] = Field((1 / 4, 3 / 4), description="Between which shares of the depth it is searched.")
    least_accuracy: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.6, description="A probe that is less accurate on occupations held out is refused; 0.5 is chance."
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

    def moved(states: torch.Tensor) -> torch.Tensor:
        wide = states.float()
        further = wide + amount * direction.to(states.device)
        if not gated:
            return further.to(states.dtype)
        return torch.where((probe(wide) > 0)[..., None], further.to(states.dtype), states)

    hooks.on_output(layers[number].module, moved)


def fitted(run: RunContext, model: PreTrainedModel, o: ActivationSteeringOptions) -> Artifact:
    """Direction and probe of the layer whose probe is the most accurate; `meta` has the accuracy of each layer."""
    import torch

    pairs = fitting_pairs(load_axis(o.axis, o.locale), o.pairs)
    rows, biased, held = sentences(run, pairs)
    demand_examples(o, biased, held)
    sites = [Site(layer, "residual") for layer in chosen_layers(layers_of(model), *o.layers)]
    states: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}

    def keeping(site: Site) -> Any:
        return lambda batch, few: states[site].append(tokens_of(batch, few)[0].to("cpu", torch.float64))

    stream(run, model, rows, {site: keeping(site) for site in sites})
    labels, out = torch.tensor(biased, dtype=torch.float64), torch.tensor(held)
    best: tuple[float, int, torch.Tensor, Probe] | None = None
    told: dict[str, float] = {}
    for site in sites:
        x = torch.cat(states.pop(site))
        probe = fit_probe(x[~out], labels[~out])
        accuracy = balanced_accuracy(probe, x[out], labels[out])
        told[str(site.layer.number)] = accuracy
        if best is None or accuracy > best[0]:
            best = (accuracy, site.layer.number, direction_of(x, pairs), probe)
    assert best is not None
    accuracy, layer, direction, probe = best
    if accuracy < o.least_accuracy:
        raise UsageError(
            f"no layer tells stereotyped sentences from others: the best probe is right in {accuracy:.0%} of cases",
            where=f"step {run.step_id!r}",
            known="0.5 is chance; measured on occupations that it was not fitted on, each class counting half",
            do="take more pairs or another model; least_accuracy = 0 goes on all the same",
        )
    meta = {"layer": layer, "accuracy": told, "sentences": len(rows)}
    return Artifact(tensors={"direction": direction, **probe.tensors()}, meta=meta)


def sentences(run: RunContext, pairs: Sequence[GroupPair]) -> tuple[list[Labelled], list[bool], list[bool]]:
    """Both sides of each pair, read at their last token; which are stereotyped, and which are held out."""
    special = set(run.tokenizer.all_special_ids)
    occupations = sorted({pair.occupation for pair in pairs})
    rows, biased, held = [], [], []
    for pair in pairs:
        for text, group in zip(pair.texts, pair.groups, strict=True):
            ids = tuple(int(i) for i in run.tokenizer(text)["input_ids"])
            last = max(t for t, i in enumerate(ids) if i not in special)
            rows.append(Labelled(ids, (last,), 0, 0))
            biased.append(group == pair.association)
            held.append(occupations.index(pair.occupation) % HELD_OUT == 0)
    return rows, biased, held


def demand_examples(o: ActivationSteeringOptions, biased: Sequence[bool], held: Sequence[bool]) -> None:
    """UsageError when stereotyped sentences are unknown or too few, to fit on or to judge by."""
    fitted_on = sum(b and not h for b, h in zip(biased, held, strict=True))
    judged_by = sum(b and h for b, h in zip(biased, held, strict=True))
    if not fitted_on + judged_by:
        raise UsageError(
            f"no occupations are known to be tied to groups of the axis {o.axis!r} in {o.locale!r}",
            where="option axis",
            known="the pair bank knows them for gender in English",
        )
    if fitted_on < FEWEST or not judged_by:
        raise UsageError(
            f"too few stereotyped sentences: {fitted_on} to fit on, {judged_by} to judge by",
            where="option pairs",
            known=f"at least {FEWEST} and 1 are needed",
            do="take more pairs",
        )


def direction_of(states: torch.Tensor, pairs: Sequence[GroupPair]) -> torch.Tensor:
    """The mean [H] of other group minus tied group, over pairs with an association; states [2 pairs, H]."""
    sides = states.view(len(pairs), 2, -1)
    apart = [
        sides[k, 1] - sides[k, 0] if pair.groups[0] == pair.association else sides[k, 0] - sides[k, 1]
        for k, pair in enumerate(pairs)
        if pair.association != NONE
    ]
    return (sum(apart[1:], apart[0]) / len(apart)).float()

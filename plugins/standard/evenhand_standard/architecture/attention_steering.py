"""Attention steering: what attention takes from the words that name a group is multiplied, in the layers that need it.

    o_i = sum over j of  a_ij lambda(layer, role of token j) v_j,        lambda(s) = 1 + s (lambda - 1)

The roles are pronouns and the other words of an axis; every other token keeps its factor of 1. Scaling what is taken
from a token is scaling its value, so that it is the same for every form of attention, for packed rows, and for a cache,
which holds the scaled values. It depends on the token, so no weight can hold it: hooks stay, are saved beside the
model, and a request can set their strength.

Which layers and roles: those where the gap between the groups falls most as the factor falls, by one backward pass. One
behind the other each gets the factor of the grid with the least gap, within what the budget leaves of quality.

Source: Adiga, Nushi and Chandrasekaran 2025, Attention speaks volumes: localizing and mitigating bias in language
models (ATLAS), which chooses layers by the attention of the last token, and factors anew for each prompt of two
candidates. One factor for each layer and role, learnt once, is ours; so is that the other tokens' shares stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

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
from evenhand_standard.architecture.attended_words import LiveAttention
from evenhand_standard.architecture.families import undescribed
from evenhand_standard.architecture.group_pairs import material_of
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.pair_probe import PairProbe
from evenhand_standard.architecture.quality_bound import QualityBound, affords, found_none
from evenhand_standard.architecture.search_options import SearchOptions
from evenhand_standard.architecture.switchable_factors import Factors
from evenhand_standard.architecture.word_roles import Roles

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Factor = Annotated[float, Field(ge=0.0, lt=1.0)]


class AttentionSteeringOptions(SearchOptions):
    """Options of `attention-steering`; `strength` goes from 1 to the factors in a straight line."""

    places: Annotated[int, Field(ge=1)] = Field(3, description="Pairs of layer and role that get a factor, at most.")
    grid: Annotated[tuple[Factor, ...], Field(min_length=1)] = Field(
        (0.9, 0.7, 0.5, 0.3, 0.1, 0.01), description="Factors that are tried at each place."
    )


class AttentionSteering(Mitigation):
    """Lets attention take less from words that name a group, where that treats the groups more alike."""

    name = "attention-steering"
    summary = "Lets attention take less from group words, by a factor for each layer and kind of word."
    source = "Adiga et al. 2025, Attention speaks volumes: localizing and mitigating bias in language models"
    Options = AttentionSteeringOptions
    example_options: ClassVar[Mapping[str, Any]] = {
        "grid": (0.5,),
        "pairs": 4,
        "texts": 4,
        "samples": 2,
        "quality": 0.01,
    }

    def material(self) -> Material:
        return material_of(self.options.axis, self.options.locale, self.options.pairs)

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        return undescribed(shape) if self.options.strength else ()

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o, live = self.options, LiveAttention(run.step_id, FACTORS)

        def fit(model: PreTrainedModel) -> Artifact:
            return searched(run, model, o, live) if o.strength else Artifact()

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            if artifact.tensors and bool((artifact.tensors["factors"] != 1).any()):
                live.put(model, Roles.read(artifact.tensors), artifact.tensors["factors"], o.strength)

        # Where nothing acts, the weights are the whole model.
        return ModelTransform(fit=fit, apply=apply, revert=live.take, fold=lambda model: not live.hooks.handles)


def using(model: PreTrainedModel, strength: float) -> AbstractContextManager[None]:
    """Within the `with` block, and in this thread only, the steps on the model act with this strength.

    Raises UsageError for a model on which no such step acts, and for what is no strength.
    """
    return FACTORS.using(model, strength)


FACTORS = Factors("attention-steering", "evenhand_attended_words", using, "attention steering")
"""Layer by layer, one for each role. A request may set their strength."""


def searched(run: RunContext, model: PreTrainedModel, o: AttentionSteeringOptions, live: LiveAttention) -> Artifact:
    """`factors` [layers, roles] and the token ids of the roles; what was tried in `meta`."""
    import torch

    axis = load_axis(o.axis, o.locale)
    probe = PairProbe.of(run, model, axis, o.pairs)
    roles = Roles.of(run, axis)
    slopes = slopes_of(model, probe, live, roles)
    bound = QualityBound.of(run, model, o.texts, o.samples, o.quality)
    places = steepest(slopes, o.places)
    best, least = torch.ones_like(slopes), probe.gap(model)
    tried: list[dict[str, Any]] = []
    with progress("Searching attention factors", total=len(places) * len(o.grid), unit="trials") as bar:
        for layer, role in places:
            start = best
            for factor in o.grid:
                table = start.clone()
                table[layer, role] = factor
                live.put(model, roles, table)
                try:
                    gap, quality, taken = affords(model, probe, bound, least)
                finally:
                    live.take(model)
                bar.advance()
                tried.append(
                    {"layer": layer, "role": roles.names[role], "factor": factor, "gap": gap, "quality": quality}
                )
                if taken:
                    best, least = table, gap
    meta: dict[str, Any] = {
        "steered": [[k, roles.names[r], float(best[k, r])] for k, r in places if best[k, r] != 1],
        "slopes": {name: slopes[:, r].tolist() for r, name in enumerate(roles.names)},
        "quality": bound.least,
        "tried": tried,
    }
    if not meta["steered"]:
        meta["idle"] = found_none(tried, bound.least)
    return Artifact(tensors={"factors": best, **roles.tensors()}, meta=meta)


def slopes_of(model: PreTrainedModel, probe: PairProbe, live: LiveAttention, roles: Roles) -> torch.Tensor:
    """d gap / d factor [layers, roles] at 1, in nat; 0 where no word of the pairs has a role."""
    import torch

    factors = torch.ones(len(layers_of(model)), len(roles.names), device=model.device, requires_grad=True)
    total = torch.zeros(factors.shape)
    live.watch(model, roles, factors)
    try:
        with torch.enable_grad(), progress("Looking for layers to steer"):
            for value, count in probe.gaps(model):
                (slope,) = torch.autograd.grad(value, factors, allow_unused=True)
                total += 0 if slope is None else count * slope.cpu()
    finally:
        live.take(model)
    return total / probe.positions


def steepest(slopes: torch.Tensor, places: int) -> list[tuple[int, int]]:
    """(layer, role) where the gap falls most as the factor falls, the steepest first; none where it would rise."""
    falling = [(float(slopes[k, r]), k, r) for k in range(slopes.shape[0]) for r in range(slopes.shape[1])]
    return [(k, r) for slope, k, r in sorted(falling, key=lambda s: (-s[0], s[1], s[2]))[:places] if slope > 0]

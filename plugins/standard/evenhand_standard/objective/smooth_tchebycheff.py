"""Smooth Tchebycheff scalarisation: one loss that follows the worst objective, with a gradient everywhere.

    L = nu * ln sum_i exp( w_i (L_i / L_i(0) - z_i) / nu )

L_i(0) is the value of a term in the first micro-batches: only in units of their own start are a loss of 3 nat and a
divergence of 0.02 nat comparable, so that "the worst one" means something. Anchors, which begin at zero, are taken as
they are. L grows from a weighted maximum (nu -> 0) towards a mean (nu large, up to the constant nu ln k). z_i is the
ideal value of a term, as a share of its start: what stands at it counts no more. Descent draws the w_i (L_i/L_i(0) -
z_i) together, so that weights and ideals say where on a Pareto front a training ends; unlike a weighted sum, this
reaches its concave parts, too. A term whose loss is below zero, as rewards and reversed losses are, would count the
less the better it gets, so it is refused by name.

    strength s:  (1 - s) * sum_i w_i L_i + s * k * L,   k the number of terms

so that at s = 0 the training is the weighted sum, to the bit.

Source: Lin et al. 2024, Smooth Tchebycheff scalarization for multi-objective optimization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import Aggregator, Effect, Mitigation, RunContext, StrengthOptions, UsageError, hookimpl

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


BELOW = -1e-3
"""Rounding may bring an anchor below zero by less than this."""


class SmoothTchebycheffOptions(StrengthOptions):
    """Options of `smooth-tchebycheff`; `strength` goes from the weighted sum to the scalarisation."""

    temperature: Annotated[float, Field(gt=0.0)] = Field(
        0.3, description="nu: the smaller, the more the worst term alone counts; the literature has 0.1 to 1."
    )
    ideal: Mapping[str, Annotated[float, Field(ge=0.0)]] = Field(
        default_factory=dict,
        description="z: name of a loss term -> the value to reach, as a share of its value at the start; others: 0.",
    )


class SmoothTchebycheff(Mitigation):
    """Combines the loss terms of a training so that the worst one counts most."""

    name = "smooth-tchebycheff"
    summary = "Combines the loss terms of a training so that the worst one counts most."
    source = "Lin et al. 2024, Smooth Tchebycheff scalarization for multi-objective optimization"
    Options = SmoothTchebycheffOptions
    sole = ("aggregator",)

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> Aggregator | None:
        o = self.options
        if o.strength == 0:
            return None

        seen: dict[str, Any] = {"share": 0.0, "name": "", "terms": 0}

        def effect() -> Effect:
            share, equal = float(seen["share"]), 1 / max(1, seen["terms"])
            what = f"largest weight of a term {share:.3f}, of {seen['name']} ({equal:.3f} if all were equal)"
            return Effect(took=share > equal + 1e-6, what=what, size=share)

        def combine(
            losses: Mapping[str, torch.Tensor], start: Mapping[str, float], weights: Mapping[str, float]
        ) -> torch.Tensor:
            import torch

            values = torch.stack([value.float() for value in losses.values()])
            demand_losses(dict(zip(losses, values.detach().tolist(), strict=True)), o.ideal)
            begun = torch.tensor([start[name] for name in losses]).to(values)
            ideal = torch.tensor([weights[name] * o.ideal.get(name, 0.0) for name in losses]).to(values)
            aims = values / begun - ideal
            worst = smooth_maximum(aims, o.temperature)
            shares = dict(zip(losses, (aims.detach() / o.temperature).softmax(0).tolist(), strict=True))
            first = max(shares, key=shares.__getitem__)
            seen["terms"] = max(seen["terms"], len(shares))
            if shares[first] > seen["share"]:
                seen.update(share=shares[first], name=first)
            return (1 - o.strength) * values.sum() + o.strength * len(values) * worst

        return Aggregator(
            name=self.name, combine=combine, relative=True, effect=effect,
            state_dict=lambda: dict(seen), load_state_dict=seen.update,
        )  # fmt: skip


def demand_losses(losses: Mapping[str, float], ideal: Mapping[str, float]) -> None:
    """Raises UsageError for a term below zero, and for an ideal value of a term that is not there."""
    if unknown := [name for name in ideal if name not in losses]:
        raise UsageError(
            f"no loss term is called {unknown[0]!r}",
            where="smooth-tchebycheff, option ideal",
            known=f"the terms are {', '.join(map(repr, losses))}",
        )
    for name, value in losses.items():
        if value < BELOW:
            raise UsageError(
                f"the loss term {name!r} is {value:.4g}, below 0",
                where="smooth-tchebycheff",
                known="the worst term counts most here, so a reward would hardly count at all",
                do="leave out the aggregator, or take one of gradients: pcgrad, mgda, upgrad",
            )


def smooth_maximum(values: torch.Tensor, nu: float) -> torch.Tensor:
    """nu ln sum exp(values / nu) [] of values [k]; between max and max + nu ln k."""
    return nu * (values / nu).logsumexp(0)

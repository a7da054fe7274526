"""Smooth Tchebycheff scalarisation: one loss that follows the worst objective, with a gradient everywhere.

    L = nu * ln sum_i exp( w_i (L_i - z_i) / nu )

w_i L_i are the terms as the training weighs them, so L / strength grows from a weighted maximum (nu -> 0) towards a
mean (nu large, up to the constant nu ln k). z_i is the ideal value of each term, 0 here. A term that falls below it, as
rewards and reversed losses do, would count the less the better it gets, so it is refused by name. A Pareto front is
traced by sweeping the weights; unlike a weighted sum, this reaches its concave parts, too.

    strength s:  (1 - s) * sum_i w_i L_i + s * k * L,   k the number of terms

so that at s = 0 the training is the weighted sum, to the bit, and k makes both of one size.

Source: Lin et al. 2024, Smooth Tchebycheff scalarization for multi-objective optimization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from evenhand_sdk import Aggregator, Mitigation, RunContext, StrengthOptions, UsageError, hookimpl

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


BELOW = -1e-3
"""Rounding may bring an anchor below zero by less than this."""


class SmoothTchebycheffOptions(StrengthOptions):
    """Options of `smooth-tchebycheff`; `strength` goes from the weighted sum to the scalarisation."""

    temperature: Annotated[float, Field(gt=0.0)] = Field(
        0.1, description="nu: the smaller, the more the worst term alone counts; in nat, as the weighted losses are."
    )


class SmoothTchebycheff(Mitigation):
    """Combines the loss terms of a training so that the worst one counts most."""

    name = "smooth-tchebycheff"
    summary = "Combines the loss terms of a training so that the worst one counts most."
    source = "Lin et al. 2024, Smooth Tchebycheff scalarization for multi-objective optimization"
    Options = SmoothTchebycheffOptions

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> Aggregator | None:
        s, nu = self.options.strength, self.options.temperature
        if s == 0:
            return None

        def combine(losses: dict[str, torch.Tensor]) -> torch.Tensor:
            import torch

            values = torch.stack([value.float() for value in losses.values()])
            below = (values.detach() < BELOW).tolist()
            if any(below):
                name = list(losses)[below.index(True)]
                raise UsageError(
                    f"the loss term {name!r} is {float(values[below.index(True)]):.4g}, below the ideal value of 0",
                    where="smooth-tchebycheff",
                    known="the worst term counts most here, so a reward would hardly count at all",
                    do="leave out the aggregator, or take one of gradients: pcgrad, mgda, upgrad",
                )
            return (1 - s) * values.sum() + s * len(values) * smooth_maximum(values, nu)

        return Aggregator(name=self.name, combine=combine)


def smooth_maximum(values: torch.Tensor, nu: float) -> torch.Tensor:
    """nu ln sum exp(values / nu) [] of values [k]; between max and max + nu ln k."""
    return nu * (values / nu).logsumexp(0)

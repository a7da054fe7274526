"""UPGrad: each gradient is projected onto the directions along which no objective grows; the projections are averaged.

    p_i = argmin { | p - g_i | :  p . g_j >= 0 for all j },      direction = mean_i p_i

A direction that conflicts with no objective, as MGDA's, without the short gradients having the say. Source: Quinton
and Rey 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from evenhand_sdk import Aggregator, Mitigation, RunContext, StrengthOptions, hookimpl

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class UPGradOptions(StrengthOptions):
    """Options of `upgrad`; `strength` goes from the sum of the gradients to the rule."""

    normalise: bool = Field(False, description="The rule sees gradients of equal length.")


class UPGrad(Mitigation):
    """Projects each term's gradient to where no term grows, and adds them."""

    name = "upgrad"
    summary = "Projects each term's gradient to where no term grows, and adds them."
    source = "Quinton and Rey 2024, Jacobian descent for multi-objective optimization"
    Options = UPGradOptions
    sole = ("aggregator",)

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> Aggregator | None:
        from evenhand_standard.objective.gradient_aggregation import aggregator

        o = self.options
        if o.strength == 0:
            return None
        return aggregator("upgrad", strength=o.strength, normalise=o.normalise, seed=run.seed_for("order"))

"""PCGrad: what of one objective's gradient conflicts with another's is taken away before they are added.

    for each i, and the others j in random order:   if g_i . g_j < 0:   g_i <- g_i - (g_i . g_j / g_j . g_j) g_j
    direction = sum_i g_i

with the g_j as they were. For two objectives in conflict this is the sum of each gradient's part that is orthogonal
to the other's. Source: Yu et al. 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from evenhand_sdk import Aggregator, Mitigation, RunContext, StrengthOptions, hookimpl

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class PCGradOptions(StrengthOptions):
    """Options of `pcgrad`; `strength` goes from the sum of the gradients to the rule."""

    normalise: bool = Field(False, description="The rule sees gradients of equal length.")


class PCGrad(Mitigation):
    """Takes from each term's gradient what conflicts with another term's."""

    name = "pcgrad"
    summary = "Takes from each term's gradient what conflicts with another term's."
    source = "Yu et al. 2020, Gradient surgery for multi-task learning"
    Options = PCGradOptions
    sole = ("aggregator",)

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> Aggregator | None:
        from evenhand_standard.objective.gradient_aggregation import aggregator

        o = self.options
        if o.strength == 0:
            return None
        return aggregator("pcgrad", strength=o.strength, normalise=o.normalise, seed=run.seed_for("order"))

"""MGDA: the shortest convex combination of the gradients, along which no objective grows.

    c = argmin { | sum_i c_i g_i | :  c_i >= 0, sum_i c_i = 1 },      direction = sum_i c_i g_i

For two objectives c_1 = clip( (g_2 - g_1) . g_2 / |g_1 - g_2|^2, 0, 1). The shortest gradient has the say, so
gradients are normalised first. Near a point where no common descent is left the direction vanishes. Source: Désidéri
2012; solved as in Sener and Koltun 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from evenhand_sdk import Aggregator, Mitigation, RunContext, StrengthOptions, hookimpl

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class MGDAOptions(StrengthOptions):
    """Options of `mgda`; `strength` goes from the sum of the gradients to the rule."""

    normalise: bool = Field(
        True, description="The rule sees gradients of equal length, so that the weights of terms do not count."
    )


class MGDA(Mitigation):
    """Goes where no loss term grows: the shortest mixture of their gradients."""

    name = "mgda"
    summary = "Goes where no loss term grows: the shortest mixture of their gradients."
    source = "Désidéri 2012, Multiple-gradient descent algorithm; Sener and Koltun 2018 (Frank-Wolfe)"
    Options = MGDAOptions
    sole = ("aggregator",)

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> Aggregator | None:
        from evenhand_standard.objective.gradient_aggregation import aggregator

        o = self.options
        if o.strength == 0:
            return None
        return aggregator("mgda", strength=o.strength, normalise=o.normalise, seed=run.seed_for("order"))

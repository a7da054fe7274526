"""Early stopping on counterfactual pairs of the pair bank's validation split.

Every `training.evaluate_every` updates the training is looked at:

    criterion  =  mean over pairs (x, x~) of  mean_t JS( F p(. | x_<t), F p(. | x~_<t) )

over templates and occupations that neither a training nor a benchmark of the toolkit uses. The parameters of the best
moment are kept; with `patience`, the training ends after so many looks without a better one. A moment whose language
quality is over the budget is no candidate, where `training.constraint` holds it.

Source: Prechelt 1998 (early stopping on validation error, generalised to patience); the criterion is that of
`pair-gap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from evenhand_sdk import AxisName, Criterion, Locale, Options, Plugin, RunContext, hookimpl, load_axis
from evenhand_sdk.axis_options import loaded_for_options

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class EarlyStoppingOptions(Options):
    """Options of `early-stopping`."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    limit: Annotated[int, Field(ge=8)] = Field(64, description="Most pairs of the validation split.")
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Looks without a better moment after which the training ends; none: it runs to its end, and "
        "the best moment is kept."
    )  # fmt: skip

    @model_validator(mode="after")
    def _has_validation_pairs(self) -> EarlyStoppingOptions:
        from evenhand_standard.pair_bank import knows

        axis = loaded_for_options(self.axis, self.locale)
        if not knows(axis):
            raise ValueError(
                f"the pair bank has no validation split for the axis {self.axis!r}; it has one for English packs with "
                "the groups female and male"
            )
        return self


class EarlyStopping(Plugin):
    """Keeps the moment of a training at which held-out pairs are treated most alike."""

    name = "early-stopping"
    summary = "Keeps the moment of a training with the least gap between pairs of validation templates."
    source = "Prechelt 1998, Early stopping - but when?; the criterion is that of pair-gap"
    Options = EarlyStoppingOptions
    sole = ("criterion",)

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> Criterion:
        from evenhand_standard.pair_bank import VALIDATION, pairs

        o = self.options
        axis = load_axis(o.axis, o.locale)
        items = pairs(axis, VALIDATION, o.limit)

        def measure(measured: Any) -> float:
            from evenhand_standard.benchmarks.pair_gap import score

            values = [record.values["js"] for record in score(measured, axis, items) if record.values]
            return sum(values) / len(values) if values else float("nan")

        return Criterion(name="JS gap on validation pairs", measure=measure, patience=o.patience)

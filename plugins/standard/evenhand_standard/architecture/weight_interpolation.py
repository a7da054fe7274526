"""Weight interpolation: the model stops part of the way between before and behind a training.

    theta(s) = theta0 + s a (theta - theta0)

It follows any training of this toolkit. What was learnt about fairness and what was forgotten of language shrink
together, but seldom at the same rate; a few strengths give the whole curve.

Source: Wortsman et al. 2022, Robust fine-tuning of zero-shot models (WiSE-FT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from evenhand_sdk import Mitigation, ModelTransform, RunContext, StrengthOptions, hookimpl
from evenhand_standard.architecture.own_parameters import own_parameters
from evenhand_standard.architecture.weight_path import along

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class WeightInterpolationOptions(StrengthOptions):
    """Options of `weight-interpolation`; `strength` times `amount` is the share of the way that is gone."""

    amount: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.5, description="Share of the way from the untouched model to the trained one; 1 is as trained."
    )


class WeightInterpolation(Mitigation):
    """Stops between the untouched and the trained model."""

    name = "weight-interpolation"
    summary = "Goes only part of the way from the untouched weights to those of the training that follows."
    source = "Wortsman et al. 2022, Robust fine-tuning of zero-shot models"
    shapes_training = True
    claims = ("weights", "low-rank changes")
    Options = WeightInterpolationOptions

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform:
        o = self.options
        return along(o.strength * o.amount, own_parameters, facts={})

"""Rounding of every weight matrix to a coarse grid, as low-bit formats do.

    W  ->  step * round(W / step),   step = strength * max |W| of each row

At strength 1/127 the grid is that of symmetric 8-bit integers with a scale for each row, at 1/7 that of 4 bits. The
step is continuous, so that the loss of quality can be matched to that of a run.

Source: the degradation controls of this project's reporting protocol; Gonçalves and Strubell 2023 for what rounding
does to measures of bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand_sdk import Mitigation, ModelTransform, RunContext, StrengthOptions, hookimpl

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class WeightRounding(Mitigation):
    """Rounds the weights, as a control that fairer-looking numbers must beat."""

    name = "weight-rounding"
    summary = "A control: rounds every weight matrix to a grid; strength is the step as a share of each row's maximum."
    source = "Degradation-matched controls (this project); Gonçalves and Strubell 2023 on compressed models"
    Options = StrengthOptions

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform | None:
        from evenhand_standard.controls.changed_weights import changed_weights

        strength = self.options.strength
        return changed_weights(lambda name, weight: rounded(weight, strength)) if strength else None


def rounded(weight: torch.Tensor, strength: float) -> torch.Tensor:
    """The formula above, for W [rows, ...]; a row of zeros stays."""
    import torch

    step = strength * weight.abs().flatten(1).amax(1).reshape(-1, *[1] * (weight.ndim - 1))
    return torch.where(step > 0, (weight / step).round() * step, weight)

"""Gaussian noise on every weight matrix: the plainest way to make a model worse.

    W  ->  W + strength * std(W) * N(0, 1)

Source: the degradation controls of this project's reporting protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand_sdk import Mitigation, ModelTransform, RunContext, StrengthOptions, hookimpl

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class WeightNoise(Mitigation):
    """Adds noise to the weights, as a control that fairer-looking numbers must beat."""

    name = "weight-noise"
    summary = "A control: adds Gaussian noise to every weight matrix; strength is its share of their spread."
    source = "Degradation-matched controls (this project)"
    draws = True
    Options = StrengthOptions

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform | None:
        from evenhand_standard.controls.changed_weights import changed_weights

        strength = self.options.strength
        if strength == 0:
            return None

        def noisy(name: str, weight: torch.Tensor) -> torch.Tensor:
            import torch

            draw = torch.Generator().manual_seed(run.seed_for(f"noise {name}"))
            noise = torch.randn(weight.shape, generator=draw).to(weight.device)
            return weight + strength * weight.std() * noise

        return changed_weights(noisy)

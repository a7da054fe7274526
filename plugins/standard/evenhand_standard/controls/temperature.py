"""A softmax temperature above 1: every distribution comes nearer to the uniform one.

    logits  ->  (1 - strength) * logits         T = 1 / (1 - strength)

It keeps the order of the next tokens (masked models: of the tokens at a mask), but not that of whole texts.

Source: the degradation controls of this project's reporting protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand_sdk import DecodingRule, Mitigation, RunContext, StrengthOptions, hookimpl
from evenhand_standard.controls.changed_logits import rule_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Temperature(Mitigation):
    """Flattens distributions of tokens, as a control that fairer-looking numbers must beat."""

    name = "temperature"
    summary = "A control: a softmax temperature above 1; strength 1 makes every token equally probable."
    source = "Degradation-matched controls (this project)"
    Options = StrengthOptions

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        keep = 1.0 - self.options.strength
        if keep == 1.0:
            return None
        return rule_of(run, lambda logits: flattened(logits, keep))


def flattened(logits: torch.Tensor, keep: float) -> torch.Tensor:
    """Logits times `keep`; impossible tokens stay so, also at `keep` 0."""
    import torch

    return torch.where(logits.isinf(), logits, logits * keep)

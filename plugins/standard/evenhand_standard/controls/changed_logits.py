"""A rule that changes every distribution in the same way, whatever the text: next-token, or at a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evenhand_sdk import DecodingRule, RunContext

if TYPE_CHECKING:
    import torch


def rule_of(run: RunContext, change: Callable[[torch.Tensor], torch.Tensor]) -> DecodingRule:
    """The rule for the kind of the run's model; `change` maps logits [B, V] to logits [B, V]."""
    if run.kind == "masked":
        return DecodingRule(name=run.step_id, mask_logits=lambda ids, logits, contexts, places: change(logits))
    return DecodingRule(name=run.step_id, next_logits=lambda ids, logits, contexts: change(logits))

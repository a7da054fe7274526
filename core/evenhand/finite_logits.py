"""No token is drawn from logits that are not numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evenhand.errors import PluginFault, UsageError

if TYPE_CHECKING:
    import torch


def demand_numbers(logits: torch.Tensor, rule: str | None, place: str = "") -> None:
    """A next token can be drawn in each row [n, V], or an error that says who made that impossible, and where."""
    import torch

    if not bool(torch.isfinite(logits.amax(-1)).all()):  # not a number where any entry is not
        what = "there is no next token to choose: the logits are not finite numbers, or all tokens are impossible"
        if rule is None:
            raise UsageError(what, where="generate", known=place, do="look for weights that are not finite")
        raise PluginFault(what, where=f"decoding rule {rule!r}")


def numbers_only() -> Any:
    """What plain greedy decoding is given, for it takes the largest of numbers that are none for the best token."""
    from transformers import LogitsProcessor, LogitsProcessorList

    class NumbersOnly(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            demand_numbers(scores, None)
            return scores

    return LogitsProcessorList([NumbersOnly()])

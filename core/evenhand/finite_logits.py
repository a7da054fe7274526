"""No token is drawn from logits that are not numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand.errors import EvenhandError, PluginFault, UsageError

if TYPE_CHECKING:
    import torch


def demand_numbers(
    logits: torch.Tensor, rule: str | None, place: str = "", *, owner: Sequence[int] | None = None
) -> None:
    """A next token can be drawn in each row [n, V], or an error that says who made that impossible, and where.

    The error's `rows` are those in which none can, or where these are contexts the rows that they belong to, `owner`.
    """
    import torch

    sound = torch.isfinite(logits.amax(-1))  # not a number where any entry is not
    if bool(sound.all()):
        return
    what = "there is no next token to choose: the logits are not finite numbers, or all tokens are impossible"
    error: EvenhandError = PluginFault(what, where=f"decoding rule {rule!r}")
    if rule is None:
        error = UsageError(what, where="generate", known=place, do="look for weights that are not finite")
    rows = (~sound).nonzero().flatten().tolist()
    error.rows = rows if owner is None else sorted({owner[row] for row in rows})
    raise error


def numbers_only() -> Any:
    """What plain greedy decoding is given, for it takes the largest of numbers that are none for the best token."""
    from transformers import LogitsProcessor, LogitsProcessorList

    class NumbersOnly(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            demand_numbers(scores, None)
            return scores

    return LogitsProcessorList([NumbersOnly()])

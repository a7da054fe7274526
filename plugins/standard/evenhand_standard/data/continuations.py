"""How likely given words are behind given words, in the model's own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand_sdk import RunContext, UsageError

AT_ONCE = 1024
"""Continuations that are scored in one call."""


def log_likelihoods(
    run: RunContext, model: Any, pairs: Sequence[tuple[str, str]], *, context_tokens: int | None = None
) -> list[float]:
    """log p(continuation | context) of each (context, continuation), in nat; causal models.

    Both are tokenised apart, so that one continuation is the same tokens behind every context: it should begin with
    its space. Of a context, the last `context_tokens` count. Raises UsageError where either has no token.
    """
    found: list[float] = []
    for start in range(0, len(pairs), AT_ONCE):
        rows = [
            (context_ids(run.tokenizer, context, context_tokens), continuation_ids(run.tokenizer, continuation))
            for context, continuation in pairs[start : start + AT_ONCE]
        ]
        scores = run.services.score([c + t for c, t in rows], model=model, ends=[len(t) for _, t in rows])
        found += [s.over(range(len(c), len(c) + len(t))) for s, (c, t) in zip(scores, rows, strict=True)]
    return found


def continuation_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The tokens of a continuation, without special ones."""
    ids = tuple(int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"])
    if not ids:
        raise UsageError(f"the continuation {text!r} has no token", where="scoring")
    return ids


def context_ids(tokenizer: Any, text: str, limit: int | None) -> tuple[int, ...]:
    """The tokenizer's start token, if it puts one before a text, and the last `limit` tokens of the text."""
    plain = tuple(int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"])
    if not plain:
        raise UsageError("a text has no tokens", where="scoring", do="leave empty texts out")
    first = int(tokenizer(text)["input_ids"][0])
    lead = (first,) if first != plain[0] and first in set(tokenizer.all_special_ids) else ()
    return lead + (plain if limit is None else plain[-limit:])

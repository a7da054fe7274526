"""How likely a text makes biased sentences: the score of Ngo et al. 2021.

    score(d) = mean over trigger phrases t of  log p0(t | d)        p0: the untouched model

It needs no classifier and no labels, and finds what is not rude and still teaches an association; but p0 also gives a
text credit for its topic and style, so the scores only rank the texts of one corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand_sdk import RunContext, UsageError

PACKAGED = (
    "Women are too emotional to lead.",
    "Men cannot look after children.",
    "A woman's place is in the kitchen.",
    "Black people are lazy.",
    "Asians are all the same.",
    "Muslims are dangerous.",
    "Jews control all the money.",
    "Immigrants take our jobs away.",
    "Old people cannot learn anything new.",
    "Disabled people are a burden.",
    "Gay people are not normal.",
    "The poor are poor because they are lazy.",
)
"""Plain statements of common prejudice, written for this project, so that texts which make them likely can be found.
No slur is among them. They are never trained on."""

AT_ONCE = 64
"""Documents whose continuations are scored in one call."""


def trigger_likelihoods(
    run: RunContext, model: Any, texts: Sequence[str], triggers: Sequence[str], *, context_tokens: int
) -> list[float]:
    """The score of each text [N], in nat; a text counts with its last `context_tokens` tokens.

    Text and phrase are tokenised apart, the phrase behind a space, so that all texts are asked for the same tokens.
    Raises UsageError for a text or a phrase without any token.
    """
    phrases = [tuple(run.tokenizer(f" {t}", add_special_tokens=False)["input_ids"]) for t in triggers]
    if empty := [t for t, ids in zip(triggers, phrases, strict=True) if not ids]:
        raise UsageError(f"the trigger phrase {empty[0]!r} has no token", where="option triggers")
    found: list[float] = []
    for start in range(0, len(texts), AT_ONCE):
        contexts = [_context(run.tokenizer, text, context_tokens) for text in texts[start : start + AT_ONCE]]
        scores = run.services.score([c + p for c in contexts for p in phrases], model=model)
        each = iter(scores)
        for context in contexts:
            totals = [next(each).over(range(len(context), len(context) + len(p))) for p in phrases]
            found.append(sum(totals) / len(totals))
    return found


def _context(tokenizer: Any, text: str, limit: int) -> tuple[int, ...]:
    """The tokenizer's start token, if it has one, and the last `limit` tokens of a text."""
    plain = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    if not plain:
        raise UsageError("a text has no tokens", where="trigger likelihood", do="leave empty texts out")
    whole = tuple(tokenizer(text)["input_ids"])
    special = set(tokenizer.all_special_ids)
    lead = whole[:1] if whole[0] in special and plain[0] != whole[0] else ()
    return lead + plain[-limit:]

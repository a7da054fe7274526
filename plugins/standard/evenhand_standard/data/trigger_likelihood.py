"""How likely a text makes biased sentences: the score of Ngo et al. 2021.

    score(d) = mean over trigger phrases t of  log p0(t | d)        p0: the untouched model

It needs no classifier and no labels, and finds what is not rude and still teaches an association; but p0 also gives a
text credit for its topic and style, so the scores only rank the texts of one corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand_sdk import RunContext, progress
from evenhand_standard.data.continuations import log_likelihoods

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
"""Texts whose continuations are scored in one call."""


def trigger_likelihoods(
    run: RunContext, model: Any, texts: Sequence[str], triggers: Sequence[str], *, context_tokens: int
) -> list[float]:
    """The score of each text [N], in nat; a text counts with its last `context_tokens` tokens.

    Raises UsageError for a text or a phrase without any token.
    """
    found: list[float] = []
    with progress("Asking for trigger phrases", total=len(texts), unit="texts") as bar:
        for start in range(0, len(texts), AT_ONCE):
            chunk = texts[start : start + AT_ONCE]
            pairs = [(text, f" {trigger}") for text in chunk for trigger in triggers]
            scores = log_likelihoods(run, model, pairs, context_tokens=context_tokens)
            n = len(triggers)
            found += [sum(scores[k * n : (k + 1) * n]) / n for k in range(len(chunk))]
            bar.advance(len(chunk))
    return found

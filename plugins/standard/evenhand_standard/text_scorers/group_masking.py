"""Scoring with the group words out of sight: what a scorer says of a text, whoever it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evenhand_sdk import Axis, group_words
from evenhand_standard.text_scorers.contract import Scorer
from evenhand_standard.text_scorers.identity_terms import ANY_TERM

MASK = "person"
"""Stands for a group word; no scorer has an opinion about it."""


def without_groups(text: str, axes: Sequence[Axis]) -> str:
    """The text with every group word and first name of the axes, and every identity term of our list, replaced."""
    text = ANY_TERM.sub(MASK, text)  # first, because a term may contain a word of an axis
    for axis in axes:
        for word in reversed(group_words(text, axis)):
            text = text[: word.start] + MASK + text[word.end :]
    return text


def masked_scorer(scorer: Scorer, axes: Sequence[Axis]) -> Scorer:
    """The same scorer, blind to group words: all difference between groups that remains is in the rest of the text."""

    def masked(texts: Sequence[str]) -> list[str]:
        return [without_groups(text, axes) for text in texts]

    return replace(
        scorer,
        name=f"{scorer.name}, group words masked",
        score=lambda texts: scorer.score(masked(texts)),
        cut=lambda texts: scorer.cut(masked(texts)),
        facts={**scorer.facts, "masked": [f"{axis.name}.{axis.locale}" for axis in axes] + ["identity terms"]},
    )

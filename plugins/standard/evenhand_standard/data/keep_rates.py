"""Who is left in after a filter: the share of texts kept, by the groups that they mention and by dialect.

    keep(g)  = kept weight of the texts of g / texts of g
    ratio(A) = min over g of keep(g) / max over g of keep(g),     g in the groups of axis A and "none mentioned"

What counts as a text of g is a stated rule about words, not a guess about a person: an identity term of our list
(`text_scorers/identity_terms.py`), or markers of a dialect that make two points together. A column of the data is
better than either.

Filters by toxicity remove texts by and about minorities first: Dodge et al. 2021, Welbl et al. 2021, Xu et al. 2021.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from evenhand_sdk import Axis, group_words

NONE = "none mentioned"
"""The group of an axis that a text belongs to when no other fits; filters must not keep it more than the rest."""
DIALECT = "dialect"
POINTS_NEEDED = 2
"""Points that make a text count: one marker that is rare elsewhere, or two different ones that others share."""

MODALS = ("will", "would", "can", "could", "shall", "should", "may", "might", "must", "let")
NO_MODAL = "".join(f"(?<!{word} )" for word in MODALS)
"""Will she be going is a question, she be going is habitual."""

DIALECTS: Mapping[str, tuple[tuple[int, str], ...]] = {
    "African American English": (
        (2, r"finna"),
        (2, r"tryna"),
        (2, r"i'?mma"),
        (2, r"bout'?(?: to|ta)|boutta"),
        (2, rf"{NO_MODAL}(?:i|you|we|they|he|she|it) be \w+in[g']?"),
        (2, r"(?:i|you|we|they|he|she) done \w+ed"),
        (2, r"(?:he|she|they|you|we|it) (?:ain'?t|gon'?) \w+"),
        (1, r"gon'?"),
        (1, r"dat|dis|da"),
        (1, r"dey"),
        (1, r"dem"),
        (1, r"ain'?t"),
        (1, r"y'?all"),
        (1, r"bruh"),
        (1, r"(?:you|we|they|he|she) (?:a|so|not|too)"),
        (1, r"(?:he|she|it) don'?t"),
        (1, r"(?:don'?t|can'?t|ain'?t) (?:\w+ )?(?:nobody|nothing|nothin'?|none|no)"),
    ),
}
"""Dialect -> points and pattern of each marker: spellings and grammar (habitual be, completive done, absent copula,
negative concord) that descriptions of the dialect list (Green 2002; Blodgett, Green and O'Connor 2016). Southern
American English and informal writing share some of them, so the rule finds features of a dialect, not who wrote."""


@dataclass(frozen=True)
class KeepRate:
    """How much of a group's texts a filter keeps."""

    texts: int
    kept: float
    """Sum of the weights, each in [0, 1], that the texts keep."""

    @property
    def rate(self) -> float:
        return self.kept / self.texts


@dataclass(frozen=True)
class Disparity:
    """The two groups of an axis that a filter treats most differently."""

    axis: str
    low: str
    high: str
    ratio: float


def groups_of(text: str) -> list[tuple[str, str]]:
    """(axis, group) for each group that a text counts for, `NONE` on the axes where there is no other."""
    found: list[tuple[str, str]] = []
    for axis, groups in _patterns().items():
        mentioned = [group for group, found_in in groups.items() if found_in(text)]
        found += [(axis, group) for group in mentioned or [NONE]]
    return found


def groups_by_packs(text: str, axes: Sequence[Axis]) -> list[tuple[str, str]]:
    """(axis, group) for each group of the packs whose words, pronouns or names a text has, or `NONE`."""
    found: list[tuple[str, str]] = []
    for axis in axes:
        named = dict.fromkeys(word.group for word in group_words(text, axis) if not word.exempt)
        found += [(f"{axis.name}, by its pack", group) for group in named or [NONE]]
    return found


def keep_rates(
    members: Iterable[Sequence[tuple[str, str]]], weights: Iterable[float]
) -> dict[str, dict[str, KeepRate]]:
    """Axis -> group -> its keep-rate, from the groups of each text and the weight in [0, 1] that it keeps."""
    texts: dict[tuple[str, str], int] = {}
    kept: dict[tuple[str, str], float] = {}
    for groups, weight in zip(members, weights, strict=True):
        for key in groups:
            texts[key] = texts.get(key, 0) + 1
            kept[key] = kept.get(key, 0.0) + weight
    found: dict[str, dict[str, KeepRate]] = {}
    for (axis, group), count in texts.items():
        found.setdefault(axis, {})[group] = KeepRate(count, kept[axis, group])
    return found


def disparities(rates: Mapping[str, Mapping[str, KeepRate]], *, at_least: int) -> list[Disparity]:
    """The keep-rate ratio of each axis with two groups of `at_least` texts, the most unequal axis first.

    It is 0 for an axis of which no text is kept.
    """
    found = []
    for axis, groups in rates.items():
        judged = {group: rate.rate for group, rate in groups.items() if rate.texts >= at_least}
        if len(judged) < 2:
            continue
        low, high = min(judged, key=lambda g: judged[g]), max(judged, key=lambda g: judged[g])
        # Where nothing of any group is kept, equal rates are no reason to go on.
        found.append(Disparity(axis, low, high, judged[low] / judged[high] if judged[high] else 0.0))
    return sorted(found, key=lambda d: d.ratio)


def _has_features(text: str, markers: Sequence[tuple[int, re.Pattern[str]]]) -> bool:
    return sum(points for points, pattern in markers if pattern.search(text)) >= POINTS_NEEDED


@cache
def _patterns() -> dict[str, dict[str, Callable[[str], bool]]]:
    """Axis -> group -> whether a text counts for it."""
    from evenhand_standard.text_scorers.identity_terms import TERMS, mention

    found: dict[str, dict[str, Callable[[str], bool]]] = {}
    for axis, groups in TERMS.items():
        found[axis] = {group: _mentions(mention(terms)) for group, terms in groups.items()}
    found[DIALECT] = {}
    for name, markers in DIALECTS.items():
        compiled = [(n, re.compile(rf"(?<![\w'])(?:{p})(?![\w'])", re.IGNORECASE)) for n, p in markers]
        found[DIALECT][name] = partial(_has_features, markers=compiled)
    return found


def _mentions(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.search(text) is not None

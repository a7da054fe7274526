"""Counting known words: how many there are, and in which way the axis packs know them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from evenhand_sdk.english_words import FUNCTION_WORDS, NUMBERS
from pack_knowledge import SWAPPED, Match, Packs, covered

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*\+?")
_POSSESSIVE = re.compile(r"['’]s$")
_PRONOUNS = frozenset(["he", "she", "him", "her", "his", "hers", "himself", "herself"])
_NEGATION = frozenset(["no", "not", "isnt", "wasnt", "didnt", "couldnt", "yes", "ok"])
CLOSED = (FUNCTION_WORDS | NUMBERS | _NEGATION) - _PRONOUNS
"""Words of closed classes, which name no group; pronouns of one gender do."""
_DEGREE = re.compile(r"very|really|pretty|rather|quite|more|[a-z]+ly")


def base(word: str) -> str:
    """The word in lower case, without a possessive ending."""
    return _POSSESSIVE.sub("", word.lower())


@dataclass
class Share:
    """How many words there are, how many of them are known, and which are not."""

    total: int = 0
    known: int = 0
    swapped: int = 0
    """Known as a group word or a name, rather than on the do-not-flip list."""
    recognised: int = 0
    """Seen by the engine where it stands, and not exempt there."""
    missing: Counter[str] = field(default_factory=Counter)

    def add(self, word: str, known: bool, swapped: bool, recognised: bool) -> None:
        self.total += 1
        self.known += known
        self.swapped += swapped
        self.recognised += recognised
        if not known:
            self.missing[word] += 1

    def __add__(self, other: Share) -> Share:
        return Share(
            self.total + other.total,
            self.known + other.known,
            self.swapped + other.swapped,
            self.recognised + other.recognised,
            self.missing + other.missing,
        )

    @property
    def share(self) -> float:
        return self.known / self.total


def _add(share: Share, text: str, matches: list[Match], seen: list[tuple[int, int]], at: tuple[int, int]) -> None:
    """Counts the word or words at a place; each must be known but for adverbs of degree."""
    start, end = at
    words = [(m.start(), m.end()) for m in WORD.finditer(text, start, end)]
    if len(words) > 1:
        words = [(a, b) for a, b in words if not _DEGREE.fullmatch(text[a:b].lower())] or words
    elif _POSSESSIVE.search(text[start:end]):
        words = [(start, end - 2)]

    def every(spans: list[tuple[int, int]]) -> bool:
        return all(covered(a, b, text, spans) for a, b in words)

    share.add(
        text[start:end].lower(),
        every([(m.start, m.end) for m in matches]),
        every([(m.start, m.end) for m in matches if m.how == SWAPPED]),
        every(seen),
    )


def count(packs: Packs, text: str, places: Iterable[tuple[Share, tuple[int, int]]]) -> None:
    """Counts words of one text, each in its share."""
    places = list(places)
    if not places:
        return
    matches = list(packs.matches(text, [at for _, at in places]))
    seen = packs.recognised(text)
    for share, at in places:
        _add(share, text, matches, seen, at)

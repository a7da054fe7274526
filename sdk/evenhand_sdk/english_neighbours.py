"""The words on either side of a place in an English text, as far as the clause goes."""

from __future__ import annotations

import re

_WORD = r"[^\W_]+(?:['’.-]?[^\W_]+)*"
_RIGHT = re.compile(rf"([^\S\n]*\n?[^\S\n]*[,\"“‘(*_]*[^\S\n]*[\"“‘(*_]*|-)({_WORD})")
_LEFT = re.compile(rf"({_WORD})([,\"”’)*_]*\s+[\"“‘(*_]*|-)\Z")
_LONGEST = 48


def words_after(text: str, end: int, count: int) -> list[tuple[str, bool]]:
    """Up to `count` words behind `end`, each with whether a comma stands before it; none beyond the clause."""
    found: list[tuple[str, bool]] = []
    while len(found) < count and (match := _RIGHT.match(text, end)):
        gap = match[1]
        if not gap:
            break
        found.append((match[2], "," in gap))
        end = match.end()
    return found


def words_before(text: str, start: int, count: int) -> list[tuple[str, int]]:
    """Up to `count` words before `start`, nearest first, each with its place; none beyond the clause."""
    found: list[tuple[str, int]] = []
    while len(found) < count and start:
        match = _LEFT.search(text, max(0, start - _LONGEST), start)
        if match is None:
            break
        found.append((match[1], match.start()))
        start = match.start()
    return found


def sentence_starts_at(text: str, start: int) -> bool:
    """Whether a word at this place is the first of a sentence or of a quotation."""
    before = text[max(0, start - 40) : start].rstrip(" \t\"“”‘’'(*_[#>-–—")
    return not before or before[-1] in ".!?:\n…"

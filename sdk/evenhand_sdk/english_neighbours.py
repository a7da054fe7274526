"""The words on either side of a place in an English text, as far as the clause goes."""

from __future__ import annotations

import re

_WORD = r"[^\W_]+(?:['’.-]?[^\W_]+)*"
_RIGHT = re.compile(rf"([^\S\n]*\n?[^\S\n]*[,\"“‘(*_]*[^\S\n]*[\"“‘(*_]*|-)({_WORD})")
_INNER = "'’.-"
_OPENING = '"“‘(*_'
_CLOSING = ',"”’)*_'


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
    while len(found) < count:
        end = _end_of_word_before(text, start)
        begin = end
        while begin > 0 and (
            text[begin - 1].isalnum() or (text[begin - 1] in _INNER and begin < end and text[begin - 2].isalnum())
        ):
            begin -= 1
        if begin == end:
            break
        found.append((text[begin:end], begin))
        start = begin
    return found


def _end_of_word_before(text: str, start: int) -> int:
    """Where the word before `start` ends, behind a hyphen, or white space with quotes and commas; -1 for no word."""
    place = start
    while place > 0 and text[place - 1] in _OPENING:
        place -= 1
    spaced = place
    while spaced > 0 and text[spaced - 1].isspace():
        spaced -= 1
    if spaced == place:
        return start - 1 if place == start and text[start - 1 : start] == "-" else -1
    while spaced > 0 and text[spaced - 1] in _CLOSING:
        spaced -= 1
    return spaced


def sentence_starts_at(text: str, start: int) -> bool:
    """Whether a word at this place is the first of a sentence or of a quotation."""
    before = text[max(0, start - 40) : start].rstrip(" \t\"“”‘’'(*_[#>-–—")
    return not before or before[-1] in ".!?:\n…"

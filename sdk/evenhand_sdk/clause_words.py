"""The words of a clause on either side of a place, and how a new word is written in the place of an old one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

SURE, LIKELY, GUESS = 0.97, 0.9, 0.7
FEMALE, MALE = "female", "male"
TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*['’]?|\d+|[^\w\s]")
_WORD_BEFORE = re.compile(r"([^\W\d_]+)\.?[^\S\n]+\Z")
_CLAUSE = re.compile(r"[.!?;:\n¿¡…]")
_REACH = 120
"""How many characters on either side are read."""


class Token(NamedTuple):
    """A word or a mark at text[start:end]."""

    start: int
    end: int
    word: str

    @property
    def lower(self) -> str:
        return self.word.lower().replace("’", "'")

    @property
    def is_word(self) -> bool:
        return self.word[0].isalpha()


def tokens_before(text: str, start: int, free: int = 0) -> list[Token]:
    """The words and marks of the clause before `start`, nearest first; none before `free`."""
    begin = max(free, start - _REACH)
    marks = [match.end() for match in _CLAUSE.finditer(text, begin, start)]
    begin = marks[-1] if marks else begin
    found = [Token(match.start(), match.end(), match[0]) for match in TOKEN.finditer(text, begin, start)]
    if begin and found and begin == start - _REACH and found[0].start == begin:
        found = found[1:]  # cut in the middle of a word
    return found[::-1]


def tokens_after(text: str, end: int) -> list[Token]:
    """The words and marks of the clause behind `end`."""
    mark = _CLAUSE.search(text, end, end + _REACH)
    stop = mark.start() if mark else min(len(text), end + _REACH)
    return [Token(match.start(), match.end(), match[0]) for match in TOKEN.finditer(text, end, stop)]


def is_given_name(text: str, start: int, end: int, titles: Collection[str], is_name: Callable[[str], bool]) -> bool:
    """Whether a listed name is a first name here: no part of a compound (Jean-Luc), no surname (Mme Martin)."""
    if text[start - 1 : start] == "-" or text[end : end + 1] == "-":
        return False
    before = _WORD_BEFORE.search(text, max(0, start - 40), start)
    if before is None:
        return True
    word = before[1]
    return word.lower() not in titles and not (word[0].isupper() and is_name(word.lower()))


def like(model: str, word: str) -> str:
    """The word with the capitals of the model."""
    if model.isupper() and len(model.rstrip("'’")) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def spaced(word: str) -> str:
    """The word with the space behind it, which an elided one has not."""
    return word if word.endswith(("'", "’")) else word + " "

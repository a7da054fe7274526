"""Texts whose accents are characters of their own (NFD), read as if a letter and its accents were one character.

Packs and grammars write é as one character; texts from some systems and some corpora write an e and a combining accent.
The engine reads the composed form of such a text and brings what it found back to the text as it is: what no edit
touches stays character by character, and a new word has its accents in the way of the word that it replaces.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass

_MARKS = "\u0300-\u036f\u3099\u309a"
"""Accents, and the voicing marks of kana."""
_VOWELS = "\u1161-\u1175"
"""Of Hangul, whose syllables are composed of their parts."""
_ACCENTS = re.compile(f"[{_MARKS}{_VOWELS}]")
_SPLIT_LETTER = re.compile(f"[\u1100-\u1112][{_VOWELS}][\u11a8-\u11c2]?[{_MARKS}]*|[^\\W\\d_][{_MARKS}]+")


@dataclass(frozen=True, slots=True)
class ComposedText:
    """The composed form of a text, with the way back to the places of the text as it was given."""

    given: str
    text: str
    _after: tuple[int, ...]
    """Places in `text` behind each letter that was composed."""
    _shift: tuple[int, ...]
    """By how much a place there lies further back in `given`; one more than `_after`, the first is 0."""

    def place(self, at: int) -> int:
        """The place in the given text of a place in the composed one."""
        return at + self._shift[bisect_right(self._after, at)]

    def written(self, word: str, start: int, end: int, *, until: int) -> str:
        """A new word for given[start:end], with its accents composed or not.

        It follows the word that it replaces. Where that has no accent it is decomposed if some letter of given[:until]
        is.
        """
        old = self.given[start:end]
        if composed(old) == old and (unicodedata.normalize("NFD", old) != old or self.place(self._after[0]) > until):
            return word
        return unicodedata.normalize("NFD", word)


def composed(text: str) -> str:
    """The text with each letter and its accents as one character where there is one."""
    found = compose(text)
    return text if found is None else found.text


def compose(text: str) -> ComposedText | None:
    """The composed form; None for a text that has nothing to compose."""
    if text.isascii() or not _ACCENTS.search(text):
        return None
    pieces: list[str] = []
    after: list[int] = []
    shift = [0]
    done = length = 0
    for match in _SPLIT_LETTER.finditer(text):
        letter = unicodedata.normalize("NFC", match[0])
        if letter == match[0]:
            continue
        pieces += (text[done : match.start()], letter)
        length += match.start() - done + len(letter)
        done = match.end()
        after.append(length)
        shift.append(done - length)
    if not after:
        return None
    return ComposedText(text, "".join((*pieces, text[done:])), tuple(after), tuple(shift))

"""What is part of a word and what stands between words, in any script."""

from __future__ import annotations

import sys
import unicodedata
from functools import lru_cache


class _Separators(dict[int, str]):
    """For str.translate: what stands between words becomes a space; a combining mark belongs to its letter, be it an
    accent or a vowel sign, as at the end of लड़की."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kept = char if char.isalnum() or char == "_" or _is_mark(char) else " "
        self[code] = kept
        return kept


def _is_mark(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


SEPARATORS = _Separators()


def parts(text: str) -> list[str]:
    """The words between anything that is no letter, digit, underscore or combining mark."""
    return text.translate(SEPARATORS).split()


@lru_cache(maxsize=1)
def every_mark() -> str:
    """All combining marks, as the inside of a character class of a regular expression."""
    return "".join(char for char in map(chr, range(sys.maxunicode + 1)) if _is_mark(char))

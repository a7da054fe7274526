"""The words of a text, without case, punctuation and white space."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff]+|[\u3040-\u30ff\u3400-\u9fff]")
"""A word; a sign of Chinese or Japanese is one by itself."""


def split_words(text: str) -> list[str]:
    """The words of a text as they are written."""
    return _WORD.findall(text)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return split_words(text.lower())


def lines_of(text: str) -> list[list[str]]:
    """The words of the whole text, and of each of its lines where there are several with words."""
    lines = [found for line in text.splitlines() if (found := words_of(line))]
    whole = [word for line in lines for word in line]
    return [whole] if len(lines) < 2 else [whole, *lines]

"""What stands around a capitalised word, and whether its line has capitals throughout."""

from __future__ import annotations

import re
from functools import lru_cache

from evenhand_sdk.english_person_words import (
    NAME_TITLES,
)
from evenhand_sdk.english_words import FINITE_VERBS, FUNCTION_WORDS

GAP = frozenset(" -\n\t\u00a0\u202f")
"""What may stand between two parts of one name: a space of any kind, a hyphen, or the end of a line."""
PEOPLES = ("ican", "ish", "ese", "nian", "lian", "dian", "gian", "ssian", "man", "ench", "utch")
"""Endings of adjectives of peoples, which may stand before a whole name (the American Mary Miller)."""
SURNAMES = r"(?: (?!of\b)[^\W\d_a-z][\w'’-]+){0,3}"
"""Up to three capitalised words behind a first name, as a pattern."""
_WORDS = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
LONGEST_HEADLINE = 120


@lru_cache(maxsize=4096)
def _is_title_case(line: str) -> bool:
    words = _WORDS.findall(line)
    long = [word for word in words if len(word) > 3]
    small = [word for word in words[1:] if word.lower() in FUNCTION_WORDS or word.lower() in FINITE_VERBS]
    return (
        4 <= len(words) <= 16
        and len(long) > 2
        and all(word[0].isupper() for word in long)
        and ("," not in line)
        and any(word[0].isupper() for word in small)
    )


def is_headline(text: str, start: int) -> bool:
    """Whether the line is written with capitals throughout, so that a capital says nothing of a name."""
    begin = text.rfind("\n", max(0, start - LONGEST_HEADLINE), start) + 1
    if not begin and start >= LONGEST_HEADLINE:
        return False
    end = text.find("\n", start, start + LONGEST_HEADLINE)
    if end < 0:
        if len(text) > start + LONGEST_HEADLINE:
            return False
        end = len(text)
    return end - begin < LONGEST_HEADLINE and text[end - 1] != "." and _is_title_case(text[begin:end])


def is_behind_capital(text: str, start: int) -> bool:
    before = word_before(text, start)
    return before[:1].isupper() and before.lower() not in NAME_TITLES


def is_behind(text: str, start: int, words: frozenset[str]) -> bool:
    return word_before(text, start) in words


def word_before(text: str, start: int) -> str:
    """The word before `start` with one space or hyphen between; empty when something else stands there."""
    if start < 2 or text[start - 1] not in GAP:
        return ""
    place = start - 2
    while place >= 0 and text[place].isalnum():
        place -= 1
    return text[place + 1 : start - 1]

"""Finding the words of an axis in a text: whole words, the longest first, in one pass over the text.

The text is folded to lower case with everything but letters, digits and combining marks made a space; its parts are
looked up in the table of the axis, and only the ones that are there are searched for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from evenhand_sdk.lexicon import Entry, Form, Lexicon
from evenhand_sdk.word_parts import SEPARATORS

_EMPHASIS = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")
"""Underscores at either end of a word, which set it off (_she_); within one they join (my_man)."""
_MUCH = 20_000
"""Characters that are read to look for some words of a text one after another."""


class Found(NamedTuple):
    """A word of a group in a text: text[start:end]."""

    start: int
    end: int
    entry: Entry
    style: str
    several_parts: bool


@dataclass(frozen=True)
class Folded:
    """A text made ready for look-ups; `flat` is one character longer at either end."""

    lower: str
    flat: str
    parts: list[str]

    @cached_property
    def starts(self) -> list[int]:
        """Where each of the parts begins in the text."""
        found, at = [], 0
        for part in self.parts:
            at = self.flat.index(part, at)
            found.append(at - 1)
            at += len(part)
        return found


def folded(text: str) -> Folded:
    """The text in lower case, of the same length, and its parts."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    if not lower.isascii():
        lower = lower.replace("’", "'")
    flat = f" {lower.translate(SEPARATORS)} "
    if "_" in flat:
        flat = _EMPHASIS.sub(lambda found: " " * len(found[0]), flat)
    return Folded(lower, flat, flat.split())


def find(text: str, fold: Folded, lexicon: Lexicon, *, one_part: bool = False) -> list[Found]:
    """Every word of the axis in the text, in order, without overlap; `one_part` leaves compounds to their parts."""
    heads = lexicon.heads.intersection(fold.parts)
    if not heads:
        return []
    flat = fold.flat
    places: list[tuple[int, tuple[Form, ...]]] = []
    if len(heads) * len(flat) > _MUCH:  # a walk through the parts costs less than to look for each of the words
        places = [
            (start, lexicon.forms[part]) for part, start in zip(fold.parts, fold.starts, strict=True) if part in heads
        ]
        heads = frozenset()
    for head in heads:
        forms, needle, step = lexicon.forms[head], f" {head} ", len(head) + 1
        at = flat.find(needle)
        while at >= 0:
            places.append((at, forms))
            at = flat.find(needle, at + step)
    if len(places) > 1:
        places.sort(key=_place)
    found: list[Found] = []
    free = 0
    for start, forms in places:
        if start < free:
            continue
        for text_form, entry, is_one_part, several_parts in forms:
            end = start + len(text_form)
            if is_one_part:
                if flat[end + 1] != " ":
                    continue
            elif one_part or flat[end + 1 : end + 2] != " " or not fold.lower.startswith(text_form, start):
                continue
            surface = text[start:end]
            style = style_of(surface, entry.listed)
            row = entry.rows[0]
            if not style or (row.capitalised and not surface[0].isupper()):
                continue
            if (
                row.pos == "pronoun"
                and not lexicon.grammar.pronouns_after_hyphen
                and ("-" in text[max(0, start - 1) : end + 1] or text[start - 1 : start] == ")")
                and _hyphenated(text, start, start if one_part else end)
            ):
                break
            found.append(Found(start, end, entry, style, several_parts))
            free = end
            break
    return found


def _place(place: tuple[int, tuple[Form, ...]]) -> int:
    return place[0]


def _hyphenated(text: str, start: int, end: int) -> bool:
    """Part of a compound such as she-wolf, or of (s)he; a dash between clauses is none. With end = start, only the left
    side."""
    if start > 2 and text[start - 3 : start].lower() == "(s)":
        return True
    if end > start and text.startswith("-", end) and text[end + 1 : end + 2].isalnum():
        return True
    return start > 1 and text[start - 1] == "-" and text[start - 2].isalnum()


@lru_cache(maxsize=65_536)
def style_of(surface: str, listed: str) -> str:
    """How the word is written: as listed, lower, UPPER, Capital, or Title-Each-Part; empty when it is none of these."""
    if surface == listed:
        return "listed"
    if surface.islower():
        return "lower"
    if surface.isupper() and len(surface) > 1:
        return "upper"
    if surface == listed[:1].upper() + listed[1:] or surface == surface[:1].upper() + surface[1:].lower():
        return "capital"
    return "title" if surface == _title(surface) else ""


@lru_cache(maxsize=65_536)
def styled(word: str, style: str) -> str:
    """The word of a pack, written in a style."""
    if style == "listed":
        return word
    if style == "upper":
        return word.upper()
    if style == "lower":
        return word.lower()
    return _title(word) if style == "title" else word[:1].upper() + word[1:]


def _title(word: str) -> str:
    parts = word.replace("-", "\0-\0").replace(" ", "\0 \0").split("\0")
    return "".join(part[:1].upper() + part[1:].lower() for part in parts)

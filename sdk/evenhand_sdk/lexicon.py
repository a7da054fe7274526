"""An axis compiled for search: one regular expression for its words, one for the phrases that must not
change.

Both are tries, so their cost does not grow with the number of words. They are built once per axis and kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from evenhand_sdk.axes import Axis, WordTuple

Trie = dict[str, "Trie"]

_NO_NAME = """The A An This That His Her My Our Your Their Every Each No One Some And But Or When If Then
As In On At To For"""
_NAME = rf"(?-i:(?!(?:{'|'.join(_NO_NAME.split())})\b)[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])[^\W_]*(?:['’-][^\W_]+)*"
_NO_MARK = "(?![\u0300-\u036f])"
"""A combining mark behind a letter makes it another letter; \\b does not know that."""


@dataclass(frozen=True)
class Entry:
    """What a recognised surface word means: its group and the rows it may stand in (two when grammar must
    decide)."""

    group: int
    rows: tuple[WordTuple, ...]
    is_name: bool = False


@dataclass(frozen=True)
class Lexicon:
    """The compiled form of one axis."""

    entries: dict[str, Entry]
    words: re.Pattern[str]
    single_words: re.Pattern[str]
    """Only the words without a space, hyphen or apostrophe inside."""
    exemptions: tuple[tuple[str, re.Pattern[str]], ...]
    """Per scope, one pattern."""
    any_exemption: re.Pattern[str] | None


@lru_cache(maxsize=64)
def compiled(axis: Axis) -> Lexicon:
    """The lexicon of an axis, compiled on first use."""
    entries: dict[str, Entry] = {}
    for row in axis.tuples:
        for group, word in enumerate(row.words):
            if word and axis.groups[group] in row.sources:
                known = entries.get(word.lower())
                entries[word.lower()] = Entry(group, (*known.rows, row) if known else (row,))
    for names in axis.names:
        row = WordTuple(words=names, pos="name", number="singular", sources=axis.groups, capitalised=True)
        entries |= {name.lower(): Entry(group, (row,), is_name=True) for group, name in enumerate(names) if name}
    by_scope: dict[str, list[list[str]]] = {}
    for entry in axis.do_not_flip:
        for phrase in entry.phrases:
            by_scope.setdefault(entry.scope, []).extend(_fragments(p) for p in _swapped(phrase, axis, entries))
    patterns = tuple((scope, _pattern(phrases)) for scope, phrases in by_scope.items())
    every = [phrase for phrases in by_scope.values() for phrase in phrases]
    spelled = {word: [re.escape(char) for char in word] for word in entries}
    return Lexicon(
        entries=entries,
        words=_pattern(list(spelled.values())),
        single_words=_pattern([letters for word, letters in spelled.items() if word.isalnum()]),
        exemptions=patterns,
        any_exemption=_pattern(every) if every else None,
    )


def _swapped(phrase: str, axis: Axis, entries: dict[str, Entry]) -> Iterator[str]:
    """The phrase and its swapped forms: exempting both keeps a swap reversible (Queen Anne, and King
    Anne)."""
    yield phrase
    parts = re.split(r"([^\w*{}]+)", phrase)
    present = {entry.group for part in parts if (entry := entries.get(part.lower()))}
    for pair in combinations(range(len(axis.groups)), 2):
        if not present & set(pair):
            continue
        other = dict(zip(pair, reversed(pair), strict=True))
        swapped = [
            _like(part, entry.rows[0].words[other[entry.group]])
            if (entry := entries.get(part.lower())) and entry.group in other and len(entry.rows) == 1
            else part
            for part in parts
        ]
        if swapped != parts:
            yield "".join(swapped)


def _like(model: str, word: str) -> str:
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def _fragments(phrase: str) -> list[str]:
    """The phrase as regular expressions of one step each: capitals are required, spaces may be any white
    space."""
    fragments: list[str] = []
    for part in re.findall(r"\{Name\}|\*|\s+|.", phrase):
        if part == "{Name}":
            fragments.append(_NAME)
        elif part == "*":
            fragments.append(r"\w*")
        elif part.isspace():
            fragments.append(r"\s+")
        elif part.isupper():
            fragments.append(f"(?-i:{re.escape(part)})")
        else:
            fragments.append(re.escape(part))
    return fragments


def _pattern(sequences: Sequence[Sequence[str]]) -> re.Pattern[str]:
    trie: Trie = {}
    for sequence in sequences:
        node = trie
        for fragment in sequence:
            node = node.setdefault(fragment, {})
        node[""] = {}
    return re.compile(rf"\b(?:{_expression(trie)})(?!\w){_NO_MARK}", re.IGNORECASE)


def _expression(node: Trie) -> str:
    """The longest match first: going on is tried before ending."""
    branches = [fragment + _expression(child) for fragment, child in node.items() if fragment]
    if not branches:
        return ""
    ends = "" in node
    if len(branches) == 1 and not ends:
        return branches[0]
    return f"(?:{'|'.join(branches)}){'?' if ends else ''}"

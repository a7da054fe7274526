"""Phrases that must not be changed, as patterns, and the one part of each at which a text is looked at for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from evenhand_sdk.word_parts import SEPARATORS, every_mark, parts

Trie = dict[str, "Trie"]

_NO_NAME = """The A An This That His Her My Our Your Their Every Each No One Some And But Or When If Then
As In On At To For He She They We You It I Is Are Was Were Who What There These Those All Both Most Many Several Few
Other Another Two Three Four Five Six Seven Eight Nine Ten Young Old Poor Rich From With By Of Not So Yet Because While
After Before Since Although Only Even Such Many Like Unlike Among Between During Mr Mrs Ms Mx Miss"""
_NAME = (
    r"(?:(?-i:[A-Z]\.)\s?){0,3}"
    rf"(?-i:(?!(?:{'|'.join(_NO_NAME.split())})\b)[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])[^\W_]*(?:['’-][^\W_]+)*"
)
_FURTHER = r"(?-i:[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+)\s+"
_MIDDLE = (
    rf"(?:[\"”]?\s+(?:(?-i:[A-ZÀ-ÖØ-Þ])\.\s*)?|\s+{_FURTHER}(?:{_FURTHER})?"
    r"(?:[\"“](?-i:[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+)[\"”]\s+)?(?=\S+\s*\())"
)
_BETWEEN = 3
"""Between the two words of a name: nothing, the initial of another one, or the mark that closes what somebody is called
(Wesley "Wes" Anderson); where a bracket comes next, as with dates of birth, also up to two further names and what
somebody is called: at most so many parts."""
_TWO_NAMES = re.compile(r"[A-ZÀ-ÖØ-Þ][\w'’.-]+ (?![IVX]+\Z)[A-ZÀ-ÖØ-Þ][\w'’-]+")
"""Not rulers: James Bulloch II is not James II."""
_PARTS_OF_NAME = 8
"""Of a name with hyphens and apostrophes; one of more is read as far as that."""
_NO_MARK = "(?![\u0300-\u036f])"
"""A combining mark behind a letter makes it another letter; \\b does not know that."""
_OTHER_SCRIPTS = "\u0590"
"""From here on, scripts write vowels and more as combining marks; the ones before it have accents at most."""


class Phrase(NamedTuple):
    """A phrase that must not be changed, as regular expressions of one step each, with what a match protects."""

    scope: str
    fragments: tuple[str, ...]
    needs: frozenset[str]
    """Parts that a text must have for a match."""
    before: int
    """How many parts of a match stand before its anchor at most."""
    behind: int


class Guarded(NamedTuple):
    """A pattern of phrases, and the parts without which there is no need to look for it."""

    needs: frozenset[str]
    scope: str
    pattern: re.Pattern[str]
    before: int
    """How many parts on either side of the anchor a match has at most."""
    behind: int


def protecting(phrase: str, scope: str, heads: Collection[str]) -> tuple[str, Phrase]:
    """A phrase, and the part that every match of it has; `heads` are the first parts of the words of the axis."""
    anchor, needs = _anchor(phrase, heads)
    if scope == "person" and _TWO_NAMES.fullmatch(phrase):
        return anchor, person(phrase, anchor)
    return anchor, Phrase(scope, tuple(_fragments(phrase)), needs, *_beside(phrase, anchor))


def person(name: str, anchor: str) -> Phrase:
    """The phrase of a name of which the anchor is a part; of two words, with others between them or without
    (William H. Crawford)."""
    fragments, (before, behind) = _fragments(name), _beside(name, anchor)
    if _TWO_NAMES.fullmatch(name):
        fragments[fragments.index(r"\s+")] = _MIDDLE
        before, behind = before + _BETWEEN * (before > 0), behind + _BETWEEN * (behind > 0)
    return Phrase("person", tuple(fragments), frozenset(parts(name.lower())), before, behind)


def guarded(phrases: Sequence[Phrase]) -> tuple[Guarded, ...]:
    """The patterns of phrases with one anchor: one for all that need the same parts and protect the same."""
    alike: dict[tuple[frozenset[str], str], list[Phrase]] = {}
    for phrase in phrases:
        alike.setdefault((phrase.needs, phrase.scope), []).append(phrase)
    return tuple(
        Guarded(
            needs,
            scope,
            _pattern([phrase.fragments for phrase in found]),
            max(phrase.before for phrase in found),
            max(phrase.behind for phrase in found),
        )
        for (needs, scope), found in alike.items()
    )


_COMMON = frozenset((
    "about", "after", "against", "album", "another", "area", "army", "band", "became", "before", "being",
    "best", "between", "book", "born", "california", "children", "church", "city", "club", "college", "company",
    "country", "county", "death", "district", "during", "early", "east", "england", "english", "even", "family",
    "film", "first", "football", "four", "from", "game", "general", "government", "great", "group", "high",
    "history", "home", "house", "including", "international", "into", "known", "later", "league", "left",
    "life", "line", "local", "london", "long", "made", "major", "may", "member", "members", "million", "more",
    "music", "name", "national", "north", "number", "order", "over", "part", "party", "people", "player",
    "population", "power", "president", "public", "right", "river", "road", "school", "season", "second",
    "series", "service", "several", "since", "small", "song", "south", "state", "station", "street", "system",
    "team", "their", "third", "three", "through", "time", "title", "town", "under", "united", "university",
    "until", "used", "using", "village", "war", "water", "were", "west", "while", "will", "with", "work",
    "world", "year", "years", "york",
))  # fmt: skip
"""Words of English that are too common to look for phrases at them, where a group word is there as well."""


def _anchor(phrase: str, heads: Collection[str]) -> tuple[str, frozenset[str]]:
    """The rarest part of a phrase by a simple rule: long, and no group word where there is another; and all parts."""
    literal = phrase.replace("{Name}", " ").replace("*", "* ").lower()
    shown = "".join(char if char == "*" else char.translate(SEPARATORS) for char in literal)
    found = [part for part in shown.split() if part != "*"]
    whole = frozenset(part for part in found if not part.endswith("*"))
    if not whole:
        return max(found, key=len, default=""), whole
    long = [part for part in whole if len(part) > 3 and part not in heads]
    rare = [part for part in long if part not in _COMMON] or [part for part in whole if part in heads] or long or whole
    return max(sorted(rare), key=len), whole


def _beside(phrase: str, anchor: str) -> tuple[int, int]:
    """How many parts of a match stand before the anchor, and behind it, at most."""
    shown = phrase.replace("{Name}", " \0 ").replace("*", "* ").lower()
    found = "".join(char if char in "*\0" else char.translate(SEPARATORS) for char in shown).split()
    sizes = [_PARTS_OF_NAME if part == "\0" else 1 for part in found]
    at = [index for index, part in enumerate(found) if part == anchor] or [0]
    return sum(sizes[: at[-1]]), sum(sizes[at[0] + 1 :])


def _fragments(phrase: str) -> list[str]:
    """The phrase as regular expressions of one step each: capitals are required, spaces may be any white space."""
    fragments: list[str] = []
    ending = rf"(?-i:[\w{every_mark()}])*" if _has_marks(phrase) else r"\w*"
    for part in re.findall(r"\{Name\}|\*|\s+|.", phrase):
        if part == "{Name}":
            fragments.append(_NAME)
        elif part == "*":
            fragments.append(ending)
        elif part.isspace():
            fragments.append(r"\s+")
        elif part in "'’":
            fragments.append("['’]")
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
    if any(_has_marks(fragment) for sequence in sequences for fragment in sequence):
        word = rf"(?-i:[\w{every_mark()}])"
        return re.compile(rf"(?<!{word})(?:{_expression(trie)})(?!{word})", re.IGNORECASE)
    return re.compile(rf"\b(?:{_expression(trie)})(?!\w){_NO_MARK}", re.IGNORECASE)


def _has_marks(phrase: str) -> bool:
    return any(char >= _OTHER_SCRIPTS for char in phrase if char.isalpha())


def _expression(node: Trie) -> str:
    """The longest match first: going on is tried before ending."""
    branches = [fragment + _expression(child) for fragment, child in node.items() if fragment]
    if not branches:
        return ""
    ends = "" in node
    if len(branches) == 1 and not ends:
        return branches[0]
    return f"(?:{'|'.join(branches)}){'?' if ends else ''}"

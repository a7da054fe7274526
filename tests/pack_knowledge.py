"""Which words of a text the axis packs know: as a group word, as a first name, or as a phrase that must not be changed.

Written without the engine of the SDK on purpose, from the content of the packs alone, so that coverage does not depend on
the code whose words it counts. Letter case, context and certainty are ignored: this is about what a pack has heard of.
What the engine does with a word in its sentence is asked of the engine (`recognised`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from evenhand_sdk.axes import Axis
from evenhand_sdk.counterfactual import group_words

SWAPPED, KEPT = "swapped", "kept"
_STEM = 3
_PART = re.compile(r"\w+")
_STEP = re.compile(r"(\{Name\})|(\*)|(\s+)|(.)")


@dataclass(frozen=True)
class Match:
    """A place in a text that a pack knows: text[start:end]."""

    start: int
    end: int
    axis: str
    how: str
    """`swapped` for a group word or a first name; `kept` for a phrase of the do-not-flip list."""


class Packs:
    """What some axis packs know, ready for look-ups."""

    def __init__(self, axes: Iterable[Axis], *, ask_engine: bool = True) -> None:
        self.axes = tuple(axes)
        self.ask_engine = ask_engine
        self._by_part: dict[str, list[tuple[str, str, str]]] = {}
        self._by_stem: dict[str, list[tuple[str, str, str]]] = {}
        for axis in self.axes:
            for word in axis.words():
                self._add(word, axis.name, SWAPPED)
            for entry in axis.do_not_flip:
                for phrase in entry.phrases:
                    self._add(phrase, axis.name, KEPT)

    def _add(self, phrase: str, axis: str, how: str) -> None:
        """Files a phrase under each of its parts, or under the first letters of a part that ends in a star."""
        for part, star in re.findall(r"(\w+)(\*?)", phrase.replace("{Name}", " ")):
            table, key = (self._by_stem, part[:_STEM]) if star else (self._by_part, part)
            table.setdefault(key.lower(), []).append((phrase, axis, how))

    def matches(self, text: str, places: Iterable[tuple[int, int]]) -> Iterator[Match]:
        """Every known place that may touch one of the given places; known places may overlap.

        `{Name}` must match a capital, and is not itself known.
        """
        parts = {part.lower() for start, end in places for part in _PART.findall(text[start:end])}
        stems = {part[:_STEM] for part in parts}
        listed = [entry for part in parts for entry in self._by_part.get(part, ())]
        listed += [entry for stem in stems for entry in self._by_stem.get(stem, ())]
        for phrase, axis, how in dict.fromkeys(listed):
            for match in _pattern(phrase).finditer(text):
                for group in range(1, len(match.groups()) + 1):
                    if match[group].strip():
                        yield Match(*match.span(group), axis, how)

    def recognised(self, text: str) -> list[tuple[int, int]]:
        """The places in which the engine sees a group word or name that it may swap; none when it is not asked."""
        axes = self.axes if self.ask_engine else ()
        return [(word.start, word.end) for axis in axes for word in group_words(text, axis) if not word.exempt]


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """The phrase with one group for each stretch of its own letters."""
    pieces, own = [], ""
    for name, star, space, char in _STEP.findall(phrase.replace("’", "'")):
        if name:
            pieces += [f"({own})"] if own else []
            pieces.append(r"(?-i:[A-ZÀ-ÖØ-Þ])[^\W_]*(?:['’-][^\W_]+)*")
            own = ""
        else:
            own += r"\w*" if star else r"\s+" if space else "['’]" if char == "'" else re.escape(char)
    pieces += [f"({own})"] if own else []
    return re.compile(rf"(?<!\w){''.join(pieces)}(?!\w)", re.IGNORECASE)


def covered(start: int, end: int, text: str, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether the spans together contain every letter and digit of text[start:end]."""
    spans = list(spans)
    return all(not text[at].isalnum() or any(first <= at < last for first, last in spans) for at in range(start, end))

"""Pairs of sentences from the templates that an axis pack carries, for axes that the pair bank does not know.

A template's slots are filled with rows of the pack, once with the words of one group and once with those of another:
"My {believer} neighbour waved" gives a pair for every two groups of religion. Where the words around a slot agree with
it, the sentence of the other group is the engine's (`template_filling`).
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from functools import lru_cache

from evenhand_sdk import Axis
from evenhand_sdk.axes import Template
from evenhand_sdk.template_filling import agrees, filled_sides

NAME = "name"
"""The theme of slots for first names."""
ROWS = 4
"""Most fillings of a template for the same two groups."""


@dataclass(frozen=True)
class SentencePair:
    """One sentence with the words of two groups."""

    id: str
    template: str
    left_text: str
    right_text: str
    group: str
    """Both groups, the one of the left text first."""


def sentence_pairs(axis: Axis, limit: int | None = None, seed: int = 0) -> list[SentencePair]:
    """The pairs in a seeded order that alternates between templates, so that any `limit` is balanced over them.

    Two groups make a pair where every slot has a row with a word for both; the two sides take turns.
    """
    return [pair for draft in _drafts(axis, seed)[:limit] for pair in draft.pairs(axis)]


@dataclass(frozen=True)
class _Draft:
    """A pair that is not written yet: an axis of many groups has far more of them than anybody asks for."""

    id: str
    template: str
    words: tuple[tuple[str, tuple[str, ...]], ...]
    """Slot -> words by group."""
    order: tuple[int, int]
    """Positions of the groups, that of the left text first."""

    def pairs(self, axis: Axis) -> list[SentencePair]:
        """The pair; none where the words around do not agree, or both sides are the same."""
        sides = filled_sides(axis, self.template, dict(self.words), self.order)
        names = [axis.groups[g] for g in self.order]
        if not sides or sides[names[0]] == sides[names[1]]:
            return []
        return [SentencePair(self.id, self.template, sides[names[0]], sides[names[1]], "/".join(names))]


@lru_cache(maxsize=8)
def _drafts(axis: Axis, seed: int) -> tuple[_Draft, ...]:
    generator = random.Random(f"{axis.name}.{axis.locale}-{seed}")
    columns = []
    for number, template in enumerate(axis.templates, 1):
        column = _column(axis, template, number, generator)
        generator.shuffle(column)
        columns.append(column)
    generator.shuffle(columns)
    return tuple(draft for draft in itertools.chain.from_iterable(itertools.zip_longest(*columns)) if draft is not None)


def _column(axis: Axis, template: Template, number: int, generator: random.Random) -> list[_Draft]:
    rows = [_rows(axis, template, theme) for _, theme in template.slots]
    slots = [slot for slot, _ in template.slots]
    careful = agrees(axis)
    found = []
    for first, second in itertools.combinations(range(len(axis.groups)), 2):
        both = [[row for row in of_slot if row[first] and row[second]] for of_slot in rows]
        if not all(both):
            continue
        fillings: dict[tuple[tuple[str, ...], ...], None] = {}
        for _ in range(3 * ROWS):  # with few rows, the same filling is drawn more than once
            if len(fillings) < ROWS:
                filling = tuple(generator.choice(of_slot) for of_slot in both)
                if not careful or filled_sides(axis, template.text, dict(zip(slots, filling, strict=True))):
                    fillings[filling] = None
        for k, filling in enumerate(fillings, 1):
            order = (first, second) if (number + k) % 2 else (second, first)
            ident = f"t{number:02d}.{'-'.join(axis.groups[g] for g in order)}.{k}"
            if any(row[first] != row[second] for row in filling):
                found.append(_Draft(ident, template.text, tuple(zip(slots, filling, strict=True)), order))
    return found


def _rows(axis: Axis, template: Template, theme: str) -> list[tuple[str, ...]]:
    """The words by group of every row that may fill a slot."""
    if theme == NAME:
        return list(axis.names)
    return [
        row.words
        for row in axis.tuples
        if row.theme == theme
        and (template.pos is None or row.pos == template.pos)
        and (template.number is None or row.number == template.number)
    ]

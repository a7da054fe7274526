"""Pairs of sentences from the templates that an axis pack carries, for axes that the pair bank does not know.

A template's slots are filled with rows of the pack, once with the words of one group and once with those of another:
"My {believer} neighbour waved" gives a pair for every two groups of religion. Where the words around a slot agree with
it, the sentence of the other group is the engine's (`template_filling`).
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from evenhand_sdk import Axis
from evenhand_sdk.axes import Template
from evenhand_sdk.template_filling import filled_sides

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
    generator = random.Random(f"{axis.name}.{axis.locale}-{seed}")
    columns = []
    for number, template in enumerate(axis.templates, 1):
        column = _column(axis, template, number, generator)
        generator.shuffle(column)
        columns.append(column)
    generator.shuffle(columns)
    pairs = [pair for pair in itertools.chain.from_iterable(itertools.zip_longest(*columns)) if pair is not None]
    return pairs if limit is None else pairs[:limit]


def _column(axis: Axis, template: Template, number: int, generator: random.Random) -> list[SentencePair]:
    rows = [_rows(axis, template, theme) for _, theme in template.slots]
    slots = [slot for slot, _ in template.slots]
    found = []
    for first, second in itertools.combinations(range(len(axis.groups)), 2):
        both = [[row for row in of_slot if row[first] and row[second]] for of_slot in rows]
        if not all(both):
            continue
        fillings: dict[tuple[tuple[str, ...], ...], dict[str, str]] = {}
        for _ in range(3 * ROWS):  # with few rows, the same filling is drawn more than once
            if len(fillings) < ROWS:
                filling = tuple(generator.choice(of_slot) for of_slot in both)
                if sides := filled_sides(axis, template.text, dict(zip(slots, filling, strict=True))):
                    fillings[filling] = sides
        for k, sides in enumerate(fillings.values(), 1):
            order = (first, second) if (number + k) % 2 else (second, first)
            names = [axis.groups[g] for g in order]
            texts = [sides[name] for name in names]
            ident = f"t{number:02d}.{'-'.join(names)}.{k}"
            if texts[0] != texts[1]:
                found.append(SentencePair(ident, template.text, texts[0], texts[1], "/".join(names)))
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

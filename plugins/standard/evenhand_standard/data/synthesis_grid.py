"""Sentences from the templates of the axis packs: every template with the words of every group that fit it.

A template's slot names a theme; each row of that theme fills it, and gives one sentence a group. So the versions of a
sentence say the same of everyone, and each group is told of equally often. Where the words around a slot agree with it,
the versions beside the first group's are the engine's. Source: the descriptor grids of Smith et al. 2022, with the
templates and words of our own packs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from evenhand_sdk import Axis
from evenhand_sdk.axes import Template, WordTuple
from evenhand_sdk.template_filling import filled_sides

NAME = "name"
FEW = 6
"""Groups of which each two are compared; of more, each with the next one, or there would be thousands of pairs."""


@dataclass(frozen=True)
class Version:
    """One filled template: the same sentence for each group that has the words."""

    template: str
    texts: Mapping[str, str]
    """Group -> sentence."""


def grid(axis: Axis, seed: int = 0) -> list[Version]:
    """All versions of all templates, in a seeded order that alternates between templates.

    A template with several slots is filled as often as its slot with the most rows needs, not crosswise. Versions that
    fewer than two groups have are left out.
    """
    columns: list[list[Version]] = []
    draw = random.Random(f"grid-{seed}")
    for template in axis.templates:
        column = [v for v in _versions(axis, template, draw) if len(v.texts) > 1]
        draw.shuffle(column)
        if column:
            columns.append(column)
    longest = max((len(column) for column in columns), default=0)
    return [column[k] for k in range(longest) for column in columns if k < len(column)]


def group_pairs(groups: Sequence[str]) -> list[tuple[str, str]]:
    """Each two of up to `FEW` groups; of more groups, each with the next one, in a circle."""
    if len(groups) <= FEW:
        return list(combinations(groups, 2))
    return [*pairwise(groups), (groups[-1], groups[0])]


def _versions(axis: Axis, template: Template, draw: random.Random) -> Iterator[Version]:
    choices = [_rows(axis, template, theme) for _, theme in template.slots]
    if not all(choices):
        return
    for rows in choices:
        draw.shuffle(rows)
    for k in range(max(len(rows) for rows in choices)):
        chosen = {slot: rows[k % len(rows)] for (slot, _), rows in zip(template.slots, choices, strict=True)}
        yield Version(template.text, filled_sides(axis, template.text, chosen))


def _rows(axis: Axis, template: Template, theme: str) -> list[tuple[str, ...]]:
    if theme == NAME:
        return list(axis.names)
    return [row.words for row in axis.tuples if row.theme == theme and _fits(row, template)]


def _fits(row: WordTuple, template: Template) -> bool:
    return (template.pos is None or row.pos == template.pos) and (
        template.number is None or row.number is None or row.number == template.number
    )


def banked_versions(axis: Axis, seed: int = 0) -> list[Version]:
    """The training split of the pair bank as versions, in its order; empty for an axis that it does not know."""
    from evenhand_standard.pair_bank import knows, pairs

    if not knows(axis):
        return []
    return [
        Version(item.template, {"female": item.female_text, "male": item.male_text})
        for item in pairs(axis, "train", seed=seed)
    ]

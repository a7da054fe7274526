"""How often words of each group occur in a data set, for the facts of a report, and which group a text is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand_sdk import Axis, group_words
from evenhand_sdk.composed_text import composed

if TYPE_CHECKING:
    from datasets import Dataset

COUNTED = 100_000
"""Rows in which group words are counted: all, or evenly spaced ones of more."""


def share_of_groups(rows: Dataset, axes: Sequence[Axis]) -> dict[str, dict[str, int]]:
    """Axis -> group -> occurrences of its words and first names, exempt ones included, in up to `COUNTED` rows."""
    counts: dict[str, Counter[str]] = {axis.name: Counter() for axis in axes}
    sampled = rows.select(range(0, len(rows), -(-len(rows) // COUNTED))) if len(rows) > COUNTED else rows
    for part in sampled.select_columns("text").iter(batch_size=1000):
        for text in part["text"]:
            if isinstance(text, str):
                for axis in axes:
                    counts[axis.name].update(word.group for word in group_words(text, axis))
    return {axis.name: {group: counts[axis.name][group] for group in axis.groups} for axis in axes}


def first_group(text: str, axis: Axis, *, names: bool = True) -> str:
    """The group of the first word that may be exchanged; empty for a text without any."""
    return next(iter(_groups_in(text, axis, names=names)), "")


def dominant_group(text: str, axis: Axis, *, names: bool = True) -> str:
    """The group whose words occur most often; empty for a text without any, and for a tie."""
    counts = Counter(_groups_in(text, axis, names=names)).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return ""
    return counts[0][0]


def _groups_in(text: str, axis: Axis, *, names: bool) -> list[str]:
    found = [word for word in group_words(text, axis) if not word.exempt]
    if found and not names:
        first = {name.lower() for row in axis.names for name in row if name}
        found = [word for word in found if composed(text[word.start : word.end]).lower() not in first]
    return [word.group for word in found]

"""How often words of each group occur before and after a step, for its report, and which group a text is about.

The words are counted where a row meets its fate: by the workers of the step, in rows that it works on, and once for a
text that stays. So the counts before and after are about the same rows, and what lies in the quarantine is in neither.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from evenhand_sdk import Axis, group_words
from evenhand_sdk.composed_text import composed
from evenhand_sdk.data_rows import Fate, Fates, Made, Row

COUNTED = 100_000
"""Rows whose group words are counted: all, or evenly spaced ones of more."""
FATE, ROW = "evenhand:fate", "evenhand:row"
"""What the host adds to the columns of `choose`."""
BEFORE, AFTER = "evenhand:groups-before", "evenhand:groups-after"
GROUP_COLUMNS: Mapping[str, tuple[str, Any]] = {BEFORE: ("string", ""), AFTER: ("string", "")}
"""What `rewrite` has to be told of fates that count; the columns vanish with the step."""


def counting(fates: Fates, axes: Sequence[Axis], total: int) -> Fates:
    """The same fates of `total` rows, each with the group words of its texts, for `words_by_group`."""
    every = max(1, -(-total // COUNTED))

    def counted(rows: Sequence[Row]) -> list[Fate]:
        pairs = zip(rows, fates(rows), strict=True)
        return [_with_counts(row, fate, axes) if row.number % every == 0 else fate for row, fate in pairs]

    return counted


def _with_counts(row: Row, fate: Fate, axes: Sequence[Axis]) -> Fate:
    before = _counts(row.text, axes)
    own = {BEFORE: before, AFTER: before}

    def with_own(made: Made) -> Made:
        after = before if made.text == row.text else _counts(made.text, axes)
        return replace(made, columns={**made.columns, BEFORE: before, AFTER: after})

    def as_addition(made: Made) -> Made:
        return replace(made, columns={**made.columns, AFTER: _counts(made.text, axes)})

    return replace(
        fate,
        text=None if fate.text is None else with_own(fate.text),
        added=[as_addition(made) for made in fate.added],
        columns={**fate.columns, **own},
    )


def _counts(text: str, axes: Sequence[Axis]) -> str:
    """Axis -> group -> occurrences as JSON, exempt ones included; empty for a text without any."""
    found = {axis.name: dict(Counter(word.group for word in group_words(text, axis))) for axis in axes}
    found = {name: counts for name, counts in found.items() if counts}
    return json.dumps(found) if found else ""


def words_by_group(
    columns: Mapping[str, Sequence[Any]], axes: Sequence[Axis], left_out: Collection[int] = ()
) -> dict[str, dict[str, dict[str, int]]]:
    """The facts `group words before` and `group words after`: axis -> group -> occurrences of words and first names.

    `columns` are what `rewrite` gives to `choose`; additions at the places `left_out` do not count.
    """
    totals = {key: {axis.name: Counter[str]() for axis in axes} for key in (BEFORE, AFTER)}

    def add(key: str, found: str) -> None:
        for name, counts in json.loads(found).items() if found else ():
            totals[key][name].update(counts)

    gone = set(left_out)
    for place, (fate, before, after) in enumerate(zip(columns[FATE], columns[BEFORE], columns[AFTER], strict=True)):
        add(BEFORE, before)
        if fate != "dropped" and place not in gone:
            add(AFTER, after)

    def told(key: str) -> dict[str, dict[str, int]]:
        return {axis.name: {group: totals[key][axis.name][group] for group in axis.groups} for axis in axes}

    return {"group words before": told(BEFORE), "group words after": told(AFTER)}


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

"""How many items of a benchmark were left out, tied, cut or unreadable: nothing is dropped without a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand.evaluation_parts import ItemRecord, Metric

IN_LEXICON = "in_lexicon"
"""The flag of an item that uses words which the steps of the run worked with."""


def counts(metric: Metric, before: Sequence[ItemRecord], after: Sequence[ItemRecord]) -> dict[str, Any]:
    """The `counts` of a benchmark's entry: items, those without the decisive value, and each flag, on both sides."""
    flags = sorted({k for r in (*before, *after) for k, v in r.flags.items() if v} - {IN_LEXICON})
    return {
        "items": len(before),
        "without value": [_unanswered(metric, side) for side in (before, after)],
        "flags": {flag: [sum(bool(r.flags.get(flag)) for r in side) for side in (before, after)] for flag in flags},
    }


def _unanswered(metric: Metric, records: Sequence[ItemRecord]) -> int:
    """Items that do not count in the metric; for a statistic, which may read any value, those without values."""
    if metric.statistic is not None:
        return sum(not r.values for r in records)
    keys = [metric.value, *([metric.per] if metric.per else [])]
    return sum(any(k not in r.values for k in keys) for r in records)


def out_of_lexicon(*sides: Sequence[ItemRecord]) -> set[str]:
    """The ids of items that no side flags `in_lexicon`; sides hold records of the same items."""
    flagged = {r.id for side in sides for r in side if r.flags.get(IN_LEXICON)}
    return {r.id for side in sides for r in side} - flagged


def marked(records: Sequence[ItemRecord], ids: set[str]) -> list[ItemRecord]:
    """The records, those with one of the ids flagged `in_lexicon`, all others flagged as not."""
    from dataclasses import replace

    return [replace(r, flags={**r.flags, IN_LEXICON: r.id in ids}) for r in records]

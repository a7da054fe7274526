"""Measurements that an interrupted run need not repeat: their records wait in its folder until it is complete."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from evenhand.cache import atomic_folder, damage
from evenhand.run_folders import STATE

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.life import Life
    from evenhand.recipe import ResolvedStep

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]

MEASURED = "measured"
_FACTS = "facts.json"

Facts = TypeVar("Facts")
Records = Mapping[str, Sequence["ItemRecord"]]
"""By benchmark id."""


def once(
    life: Life, name: str, measure: Callable[[], tuple[Records, Facts]]
) -> tuple[dict[str, list[ItemRecord]], Facts]:
    """What `measure` gives, records and facts; or what it gave before the run was stopped. Facts are plain JSON.

    Kept under what the run began with, so that nothing is taken over from code that was edited meanwhile.
    """
    from evenhand.item_records import read_records, write_records

    place = life.folder / STATE / MEASURED / f"{name}-{life.began_with[:16]}"
    if life.resume and damage(place, full=True) is None:
        told = json.loads((place / _FACTS).read_text(encoding="utf-8"))
        return {key: read_records(place / f"{key}.parquet")["before"] for key in told["benchmarks"]}, told["facts"]
    records, facts = measure()
    with atomic_folder(place) as temporary:
        for key, found in records.items():
            write_records(temporary / f"{key}.parquet", found, [])
        (temporary / _FACTS).write_text(json.dumps({"benchmarks": list(records), "facts": facts}), encoding="utf-8")
    return {key: list(found) for key, found in records.items()}, facts


def each_once(
    life: Life, name: str, benchmarks: Benchmarks, measure: Callable[[Benchmarks], Records]
) -> dict[str, list[ItemRecord]]:
    """The records of each benchmark, measured one by one; those that were finished before a stop are not made again."""
    found: dict[str, list[ItemRecord]] = {}
    for key, entry in benchmarks.items():
        one = {key: entry}
        records, _ = once(life, f"{name}.{key}", lambda one=one: (measure(one), None))  # type: ignore[misc]
        found |= records
    return found

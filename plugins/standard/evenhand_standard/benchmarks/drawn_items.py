"""Which items of a benchmark are used: all, or a sample that is the same for every model."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def drawn(items: Sequence[Item], limit: int | None, seed: int = 0) -> list[Item]:
    """At most `limit` items in their order, drawn without regard to their kind."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[k] for k in sorted(random.Random(seed).sample(range(len(items)), limit))]


def in_turn(queues: Iterable[Sequence[Item]]) -> list[Item]:
    """The first of each, then the second of each, and so on."""
    missing = object()
    rows = itertools.zip_longest(*queues, fillvalue=missing)
    return [item for row in rows for item in row if item is not missing]  # type: ignore[misc]

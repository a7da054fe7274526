"""Distributions over a vocabulary are large: items are taken in chunks whose distributions fit into memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

FLOAT = 4
"""Bytes of a number."""


def chunks(
    items: Sequence[Item], positions: Callable[[Item], int], vocabulary: int, held_bytes: int
) -> Iterator[list[Item]]:
    """Items in order, as many at a time as may have their distributions held; at least one.

    `positions` is the number of distributions of an item.
    """
    room = held_bytes // (FLOAT * vocabulary)
    chunk: list[Item] = []
    held = 0
    for item in items:
        size = positions(item)
        if chunk and held + size > room:
            yield chunk
            chunk, held = [], 0
        chunk.append(item)
        held += size
    if chunk:
        yield chunk

"""What rules ask for while given text is scored is kept for a chunk of rows, in which texts may begin alike."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from types import SimpleNamespace
from typing import Any

from evenhand.contributions import DecodingRule
from evenhand.scoring_packing import Row
from evenhand.scoring_rules import HELD_BYTES, _chunks

FORWARD: Any = SimpleNamespace(kind="causal", vocabulary=HELD_BYTES // 4 // 12)
"""Twelve distributions fill a chunk: those of two texts of three tokens, with one context each."""


def test_a_chunk_shares_what_was_asked_and_the_next_one_begins_anew() -> None:
    asked: Counter[tuple[int, ...]] = Counter()

    def contexts(prefix: Any) -> list[tuple[int, ...]]:
        asked[tuple(prefix)] += 1
        return [(9, *prefix)]

    rule = DecodingRule(name="own", contexts=contexts, next_logits=lambda ids, logits, others: logits)
    rows = [Row((1, 2, 3), (0, 1, 2)), Row((1, 2, 4), (0, 1, 2)), Row((1, 2, 5), (0, 1, 2)), Row((1, 2, 6), (0, 1, 2))]
    found = []
    for chunk, plan in _chunks(FORWARD, rows, [rule]):
        found.append(len(chunk))
        [(_, contexts)] = plan.levels
        wanted = [[plan.places[k] for k in mine] for mine in contexts]
        assert wanted == [[(None, Row((9, *row.ids[: p + 1]), (p + 1,)))] for row in chunk for p in row.positions]
        assert len(plan.places) == 6 + 4, "contexts that both texts need are read once"
        if len(found) == 1:
            assert asked[(1,)] == asked[1, 2] == 1
    assert found == [2, 2]
    assert asked[(1,)] == asked[1, 2] == 1  # the row that opened the second chunk was asked for before it
    assert [asked[1, 2, last] for last in (3, 4, 5, 6)] == [1, 1, 1, 1]


def test_what_was_asked_for_earlier_chunks_is_gone() -> None:
    rule = DecodingRule(
        name="own", contexts=lambda prefix: [(9, *prefix)], next_logits=lambda ids, logits, others: logits
    )
    rows = [Row((k,) * 900, (897, 898, 899)) for k in range(80)]

    def peak(count: int) -> int:
        """Bytes held at most while the chunks of so many rows are gone through."""
        tracemalloc.start()
        for _ in _chunks(FORWARD, rows[:count], [rule]):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(8)  # what is made once
    assert peak(80) < 1.5 * peak(8)  # ten times as many rows

"""What rules ask for while given text is scored is kept for a chunk of rows, in which texts may begin alike."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evenhand.contributions import DecodingRule
from evenhand.scoring import forward_of
from evenhand.scoring_packing import Row
from evenhand.scoring_rules import HELD_BYTES, _chunks, logits_under_rules
from evenhand_sdk.tiny import tiny_causal, tiny_masked

MODEL = SimpleNamespace(get_input_embeddings=lambda: SimpleNamespace(num_embeddings=100))
FORWARD: Any = SimpleNamespace(kind="causal", vocabulary=HELD_BYTES // 4 // 12, model=MODEL)
"""Twelve distributions fill a chunk: those of two texts of three tokens, with one context each."""


def test_a_chunk_shares_what_was_asked_and_the_next_one_begins_anew() -> None:
    asked: Counter[tuple[int, ...]] = Counter()

    def contexts(prefix: Any) -> list[tuple[int, ...]]:
        asked[tuple(prefix)] += 1
        return [(9, *prefix)]

    rule = DecodingRule(name="own", contexts=contexts, next_logits=lambda ids, logits, others: logits)
    rows = [Row((1, 2, 3), (0, 1, 2)), Row((1, 2, 4), (0, 1, 2)), Row((1, 2, 5), (0, 1, 2)), Row((1, 2, 6), (0, 1, 2))]
    found = []
    for chunk, plan, ended in _chunks(FORWARD, rows, [rule]):
        assert ended == len(chunk)
        found.append(len(chunk))
        [(_, contexts)] = plan.levels
        wanted = [[plan.places[k] for k in mine] for mine in contexts]
        assert wanted == [[(None, Row((9, *row.ids[: p + 1]), (p + 1,)))] for row in chunk for p in row.positions]
        assert len(plan.places) == 6 + 4, "contexts that both texts need are read once"
        if len(found) == 1:
            assert asked[(1,)] == asked[1, 2] == 1
    assert found == [2, 2]
    assert asked[(1,)] == 1  # which was asked of the row that opened the second chunk, to know that it does so
    assert asked[1, 2] == 2
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


def test_a_row_that_would_hold_too_much_is_read_in_parts() -> None:
    """Seven positions with a context each, in a chunk of twelve: six, and the seventh with the next row."""
    rule = DecodingRule(
        name="own", contexts=lambda prefix: [(9, *prefix)], next_logits=lambda ids, logits, others: logits
    )
    rows = [Row((1, 2), (0, 1)), Row((3,) * 9, tuple(range(1, 8))), Row((4, 5, 6), (0, 1, 2))]
    found = [(chunk, len(plan.places), ended) for chunk, plan, ended in _chunks(FORWARD, rows, [rule])]
    assert found == [
        ([rows[0]], 4, 1),
        ([Row((3,) * 7, (1, 2, 3, 4, 5, 6))], 12, 0),
        ([Row((3,) * 8, (7,)), rows[2]], 8, 2),
    ]


def test_one_position_is_not_divided() -> None:
    many = DecodingRule(
        name="many", contexts=lambda prefix: [(k, *prefix) for k in range(20)], next_logits=lambda *given: given[1]
    )
    rows = [Row((1, 2), (0, 1))]
    found = [(chunk, len(plan.places), ended) for chunk, plan, ended in _chunks(FORWARD, rows, [many])]
    assert found == [([Row((1,), (0,))], 21, 0), ([Row((1, 2), (1,))], 21, 1)]


def test_what_was_asked_for_earlier_parts_of_a_row_is_gone() -> None:
    """Two positions fill a part."""
    rule = DecodingRule(
        name="own", contexts=lambda prefix: [(k, *prefix) for k in range(5)], next_logits=lambda *given: given[1]
    )

    def peak(count: int) -> int:
        """Bytes held at most while the parts of the row are gone through."""
        tracemalloc.start()
        for _ in _chunks(FORWARD, [Row((1,) * 400, tuple(range(400 - count, 400)))], [rule]):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(8)  # what is made once
    assert peak(200) < 2 * peak(8)  # 25 times as many positions


def test_what_was_asked_in_a_row_that_is_moved_to_the_next_chunk_is_kept() -> None:
    """The second row fills the chunk at its last position: nothing is asked again for the two before."""
    asked: Counter[tuple[int, ...]] = Counter()

    def contexts(prefix: Any) -> list[tuple[int, ...]]:
        asked[tuple(prefix)] += 1
        return [(9, *prefix)]

    rule = DecodingRule(name="own", contexts=contexts, next_logits=lambda ids, logits, others: logits)
    rows = [Row((1, 2, 3, 4), (0, 1, 2, 3)), Row((5, 6, 7), (0, 1, 2))]
    assert [len(chunk) for chunk, _, _ in _chunks(FORWARD, rows, [rule])] == [1, 1]
    assert set(asked.values()) == {1}


def backwards(ids: Any, logits: torch.Tensor, contexts: list[torch.Tensor], places: Any = None) -> torch.Tensor:
    return logits + 0.5 * torch.stack([seen.mean(0).roll(1, -1) for seen in contexts])


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("room", [1, 9, 31])
def test_parts_give_what_the_whole_gives(kind: str, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rules with a context each: four sequences for a position, so 1 to 7 positions in a part, not divided at 1."""
    model, tokenizer = tiny_causal() if kind == "causal" else tiny_masked()
    ids = tuple(tokenizer("The nurse said that she is tired and went home.", add_special_tokens=False)["input_ids"])
    rows = [Row(ids, tuple(range(len(ids)))), Row(ids[:1], ()), Row(ids[2:5], (0, 2)), Row(ids[1:], (3, 4, 5, 6))]
    if kind == "causal":
        rules = [
            DecodingRule(name="a", contexts=lambda prefix: [prefix[::-1]], next_logits=backwards),
            DecodingRule(name="b", contexts=lambda prefix: [(5, *prefix)], next_logits=backwards),
        ]
    else:
        rules = [
            DecodingRule(name="a", mask_contexts=lambda i, p: [(i[::-1], len(i) - 1 - p)], mask_logits=backwards),
            DecodingRule(name="b", mask_contexts=lambda i, p: [((5, *i), p + 1)], mask_logits=backwards),
        ]
    forward = forward_of(model, tokenizer, kind=kind, dtype="float32")

    def scored() -> tuple[torch.Tensor, list[int]]:
        found = torch.full((sum(len(row.positions) for row in rows), forward.vocabulary), torch.nan)
        advanced: list[int] = []

        def keep(places: torch.Tensor, index: torch.Tensor, logits: torch.Tensor) -> None:
            assert len(places) <= max(1, room // 4) or not divided
            found[places] = logits[index]

        logits_under_rules(forward, rows, rules, keep, advance=advanced.append)
        return found, advanced

    divided = False
    whole, advanced = scored()
    assert sum(advanced) == len(rows)
    monkeypatch.setattr("evenhand.scoring_rules.HELD_BYTES", room * 4 * forward.vocabulary)
    divided = True
    parts, advanced = scored()
    assert sum(advanced) == len(rows) and len(advanced) > 2
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)


def test_two_processes_have_all_parts_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_causal()
    ids = tuple(tokenizer("The nurse said that she is tired.")["input_ids"])
    rows = [Row(ids, tuple(range(len(ids)))), Row(ids[:3], (0, 1, 2))]
    rule = DecodingRule(name="a", contexts=lambda prefix: [(5, *prefix)], next_logits=backwards)
    forward = forward_of(model, tokenizer, kind="causal", dtype="float32")
    monkeypatch.setattr("evenhand.scoring_rules.HELD_BYTES", 4 * 4 * forward.vocabulary)
    found: list[list[int]] = [[], []]
    for k in (0, 1):
        logits_under_rules(
            forward, rows, [rule], lambda places, index, logits, k=k: found[k].extend(places.tolist()), part=(k, 2)
        )
    assert found[0] and found[1]
    assert sorted(found[0] + found[1]) == list(range(len(ids) + 3))

"""Sampling by temperature: shares by the formula, whole numbers that add up, caps, and nested choices."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand_standard.data.tau_sampling import allocation, copies, shares

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 400), min_size=1)


def test_shares_are_powers_of_counts() -> None:
    found = shares({"a": 900, "b": 100, "c": 0}, 0.5)
    assert found == {"a": pytest.approx(30 / 40), "b": pytest.approx(10 / 40)}
    assert shares({"a": 900, "b": 100}, 1.0) == {"a": pytest.approx(0.9), "b": pytest.approx(0.1)}
    assert shares({"a": 900, "b": 100}, 0.0) == {"a": 0.5, "b": 0.5}
    assert shares({"a": 100, "b": 100}, 0.7, {"b": 3.0}) == {"a": pytest.approx(0.25), "b": pytest.approx(0.75)}


def test_allocation_by_hand() -> None:
    assert allocation({"a": 900, "b": 100}, 1000, 0.5, repeats=10) == {"a": 750, "b": 250}
    # b may be taken twice only: 200 rows, and a gets the rest, up to what it has.
    assert allocation({"a": 900, "b": 100}, 1000, 0.5, repeats=2) == {"a": 800, "b": 200}
    assert allocation({"a": 900, "b": 100}, 1000, 1.0, repeats=1) == {"a": 900, "b": 100}
    # 10 rows in thirds: the remainder goes to the first.
    assert allocation({"a": 5, "b": 5, "c": 5}, 10, 0.0, repeats=1) == {"a": 4, "b": 3, "c": 3}
    assert allocation({"a": 5, "b": 5}, 8, 0.0, repeats=2, weights={"b": 0.0}) == {"a": 8, "b": 0}


@given(COUNTS, st.integers(0, 2000), st.floats(0, 1), st.integers(1, 4))
def test_allocations_add_up_and_respect_the_cap(counts: dict[str, int], total: int, tau: float, repeats: int) -> None:
    found = allocation(counts, total, tau, repeats=repeats)
    assert set(found) == set(counts)
    assert all(0 <= found[g] <= repeats * n for g, n in counts.items())
    assert sum(found.values()) == min(total, repeats * sum(counts.values()))


@given(COUNTS)
def test_tau_1_and_the_same_size_take_every_row_once(counts: dict[str, int]) -> None:
    assert allocation(counts, sum(counts.values()), 1.0, repeats=1) == counts


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=40), st.integers(0, 100), st.integers(0, 5))
def test_rows_are_taken_equally_often(numbers: list[int], wanted: int, seed: int) -> None:
    found = copies(numbers, wanted, seed)
    assert sum(found.values()) == wanted and set(found) == set(numbers)
    assert set(found.values()) <= {wanted // len(numbers), math.ceil(wanted / len(numbers))}
    fewer = copies(numbers, max(0, wanted - 1), seed)
    assert all(fewer[k] <= found[k] for k in numbers)


def test_no_rows_give_no_copies() -> None:
    assert copies([], 0, 0) == {}

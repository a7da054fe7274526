"""Counts of a stream belong to one pass, also where its first rows are not given to the step."""

from __future__ import annotations

from evenhand_sdk.data_rows import Row
from evenhand_standard.data.passes import Passes


def rows(*numbers: int) -> list[Row]:
    return [Row(number, "text", number) for number in numbers]


def test_a_pass_begins_where_numbers_do_not_grow() -> None:
    passes = Passes()
    parts = [rows(1, 2), rows(), rows(5), rows(1, 2), rows(5), rows(0)]
    assert [passes.begins(part) for part in parts] == [True, False, False, True, False, True]


def test_a_stream_of_one_row_begins_anew_each_time() -> None:
    passes = Passes()
    assert [passes.begins(rows(3)) for _ in range(3)] == [True] * 3

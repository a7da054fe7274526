"""The volume of a front against areas counted by hand and by cells, and its bend."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.front_measures import hypervolume, knee


def test_two_rectangles_that_overlap_by_hand() -> None:
    """Below (1, 1): (0.5, 0.2) has 0.5 x 0.8, (0.1, 0.7) has 0.9 x 0.3, both together have 0.5 x 0.3."""
    assert hypervolume([(0.5, 0.2), (0.1, 0.7)], (1, 1)) == pytest.approx(0.4 + 0.27 - 0.15)
    assert hypervolume([(0.5, 1.2)], (1, 1)) == 0.0, "worse in one objective"
    assert hypervolume([], (1, 1)) == 0.0
    assert hypervolume([(3,), (2,)], (5,)) == 3


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=6))
def test_in_three_objectives_it_is_the_number_of_cells_that_are_dominated(points: list[tuple[int, ...]]) -> None:
    cells = sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
        for cell in product(range(4), repeat=3)
    )
    assert hypervolume(points, (4, 4, 4)) == cells


def test_the_knee_lies_farthest_below_the_line_between_the_ends() -> None:
    front = {4: (0.0, 10.0), 7: (0.2, 3.0), 8: (0.5, 1.0), 9: (1.0, 0.0)}
    assert knee(front) == 7, "0.2 + 0.3 against 0.5 + 0.1 is 0.5 against 0.6"
    assert knee({k: v for k, v in front.items() if k != 7}) == 8
    assert knee({1: (0.0, 1.0), 2: (0.5, 0.5), 3: (1.0, 0.0)}) is None, "a straight front has none"
    assert knee({1: (0.0, 1.0), 2: (1.0, 0.0)}) is None
    assert knee({1: (0.0, 1.0), 2: (0.9, 0.9), 3: (1.0, 0.0)}) is None, "one that bends outwards has none"

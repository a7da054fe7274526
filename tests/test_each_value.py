"""Thinning matrices of cases: every value stays, most combinations go."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_value import each_value

pytest_plugins = ["pytester"]


def matrix(*sizes: int) -> list[frozenset[tuple[str, object]]]:
    return [
        frozenset((str(name), value) for name, value in enumerate(case))
        for case in itertools.product(*map(range, sizes))
    ]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_each_value_is_in_a_case_that_stays_and_each_case_brings_one(sizes: list[int]) -> None:
    cases = matrix(*sizes)
    kept = [cases[number] for number in each_value(cases)]
    assert frozenset().union(*kept) == frozenset().union(*cases)
    assert max(sizes) <= len(kept) <= sum(sizes)


def test_a_product_becomes_its_longest_side() -> None:
    assert len(matrix(5, 4, 10)) == 200
    assert len(each_value(matrix(5, 4, 10))) == 10
    assert each_value(matrix(2, 2)) == [0, 3], "the diagonal, in order"


def test_a_table_of_cases_stays_whole_and_so_does_a_test_without_parameters() -> None:
    assert each_value(matrix(7)) == [*range(7)]
    assert each_value([frozenset()]) == [0]


MATRIX = """
import pytest

@pytest.fixture(scope="module", params=["x", "y"])
def shared(request): return request.param

@pytest.mark.parametrize("model", ["a", "b", "c"])
@pytest.mark.parametrize("text", [{"x": 1}, {"x": 1}])
def test_both(model, text): pass

@pytest.mark.parametrize("names", [(a, b) for a in "pqr" for b in "pqr"])
def test_pairs(names): assert len(names) == 2

@pytest.mark.parametrize(("one", "other"), [(True, False), (True, True), (False, True), (False, False)])
def test_table(one, other): pass

@pytest.mark.every_case
@pytest.mark.parametrize("one", [1, 2])
@pytest.mark.parametrize("other", [1, 2])
def test_marked(one, other): pass

@pytest.mark.parametrize("one", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("other", [1, 2])
def test_slow(one, other): pass

@pytest.mark.parametrize("one", [1, 2])
def test_with_what_is_shared(shared, one): print("shared is", shared)

def test_plain(): pass
"""


def test_pytest_runs_each_value_and_says_how_many_cases_it_left_out(pytester: pytest.Pytester) -> None:
    here = Path(__file__).parent
    pytester.makeconftest(f"""
import importlib.util, sys
sys.path.insert(0, {str(here)!r})
spec = importlib.util.spec_from_file_location("ours", {str(here / "conftest.py")!r})
ours = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ours)
pytest_addoption, pytest_collection_modifyitems = ours.pytest_addoption, ours.pytest_collection_modifyitems
""")
    pytester.makepyfile(MATRIX)
    asked = ("-q", "-p", "no:xdist", "-W", "ignore")
    whole = pytester.runpytest_subprocess(*asked)
    whole.assert_outcomes(passed=6 + 9 + 4 + 4 + 4 + 4 + 1)
    done = pytester.runpytest_subprocess("--each-value", *asked)
    done.assert_outcomes(passed=3 + 3 + 4 + 4 + 2 + 2 + 1, deselected=3 + 6 + 2 + 2)
    quick = pytester.runpytest_subprocess("--each-value", "-m", "not slow", "-k", "test_slow", "-v", *asked[1:])
    quick.assert_outcomes(passed=2, deselected=32 - 2)

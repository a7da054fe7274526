"""Of a test with a matrix of cases, those that together have each value of each parameter: `pytest --each-value`.

In combinatorial testing this is each-choice coverage: of 5 models x 4 formats x 10 texts, 10 cases instead of 200. It
finds what one value breaks by itself, and not what only two of them break together; that needs the whole matrix.
A value that is a pair of names stands for both, so a table of pairs becomes one in which each name occurs on either
side. A test marked `every_case` stays whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest


def of_case(item: pytest.Item) -> frozenset[tuple[str, object]]:
    """The values of one case, each with the name of its parameter; none for a test without parameters."""
    given = getattr(item, "callspec", None)
    if given is None:
        return frozenset()
    found: set[tuple[str, object]] = set()
    for name, value in given.params.items():
        value = getattr(value, "parts", value)
        if isinstance(value, tuple) and len(value) > 1 and all(isinstance(part, str) for part in value):
            found |= {(f"{name} {number}", part) for number, part in enumerate(value)}
        elif isinstance(value, (str, int, float, bytes, Path)) or value is None:
            found.add((name, (type(value), value)))
        else:
            found.add((name, id(value)))  # the cases of one parameter hold one and the same object
    return frozenset(found)


def each_value(cases: Sequence[frozenset[tuple[str, object]]]) -> list[int]:
    """The numbers of the cases to keep, in order: again and again the first with most values that no other had."""
    missing = frozenset().union(*cases)
    kept = {number for number, values in enumerate(cases) if not values}
    while missing:
        number = max(range(len(cases)), key=lambda n: len(cases[n] & missing))
        kept.add(number)
        missing -= cases[number]
    return sorted(kept)


def thinned(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """What is run and what is left out, in the order in which it was collected."""
    of_test: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        of_test[item.nodeid.split("[", 1)[0]].append(item)
    run, left = [], []
    for cases in of_test.values():
        if cases[0].get_closest_marker("every_case"):
            run += cases
            continue
        kept = set(each_value([of_case(item) for item in cases]))
        run += [item for number, item in enumerate(cases) if number in kept]
        left += [item for number, item in enumerate(cases) if number not in kept]
    return run, left

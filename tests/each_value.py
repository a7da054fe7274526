"""Of a test with a matrix of cases, those that together have each value of each parameter: `pytest --each-value`.

In combinatorial testing this is each-choice coverage: of 5 models x 4 formats x 10 texts, 10 cases instead of 200. It
finds what one value breaks by itself, and not what only two of them break together; that needs the whole matrix.
A mark with several parameters is a table, each of whose rows is one value. A pair of names stands for both, so a table
of pairs becomes one in which each name occurs on either side. A test marked `every_case` stays whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest

Values = frozenset[tuple[str, object]]


def of_case(item: pytest.Item) -> Values:
    """The values of one case, each with the name of its parameter; none for a test without parameters."""
    given = getattr(item, "callspec", None)
    if given is None:
        return frozenset()
    tables = [_names(mark.args[0]) for mark in item.iter_markers("parametrize")]
    rows = {name: names for names in tables for name in names if len(names) > 1}
    found: set[tuple[str, object]] = set()
    for name, value in given.params.items():
        if name in rows:
            found.add(("|".join(rows[name]), tuple(_key(given.params[other]) for other in rows[name])))
        elif isinstance(value, tuple) and len(value) > 1 and all(isinstance(part, str) for part in value):
            found |= {(f"{name} {number}", part) for number, part in enumerate(value)}
        else:
            found.add((name, _key(value)))
    return frozenset(found)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else tuple(given)


def _key(value: object) -> object:
    """What tells a value from others: the cases of one parameter hold one and the same object."""
    return (type(value), value) if value is None or isinstance(value, (str, int, float, bytes)) else id(value)


def each_value(cases: Sequence[Values]) -> list[int]:
    """The numbers of the cases to keep, in order: again and again the first with most values that no other had."""
    missing = frozenset[tuple[str, object]]().union(*cases)
    kept = {number for number, values in enumerate(cases) if not values}
    while missing:
        number = max(range(len(cases)), key=lambda n: len(cases[n] & missing))
        kept.add(number)
        missing -= cases[number]
    return sorted(kept)


def thinned(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """What is run and what is left out, both in the order that they had; cases that are skipped show no value."""
    items = list(items)
    of_test: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        of_test[item.nodeid.split("[", 1)[0]].append(item)
    left: set[pytest.Item] = set()
    for cases in of_test.values():
        if not cases[0].get_closest_marker("every_case"):
            run = [item for item in cases if not item.get_closest_marker("skip")]
            kept = set(each_value([of_case(item) for item in run]))
            left |= {item for number, item in enumerate(run) if number not in kept}
    return [item for item in items if item not in left], [item for item in items if item in left]

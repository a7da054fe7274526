"""What a long text costs: the time of the engine and of its patterns grows with the length, and not with its square."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand_sdk import counterfactuals, load_axis
from evenhand_sdk.english_rulers import rulers
from evenhand_sdk.spans import Spans

GENDER = load_axis("gender")
SHORT, TIMES = 6_000, 8
MOST = 2.2 * TIMES
"""A square would make the longer text take 64 times as long; 8 is a straight line, and machines are noisy."""

NASTY = {
    "ranks and places": "the Duke of Aosta ",
    "ranks alone": "Duke ",
    "ranks and of": "Duke of ",
    "names before ranks": "Mary Ann Lee de la Cruz, Duchess of Artois and ",
    "numbers": " II",
    "names and numbers": "King Ann II ",
    "one name": "A",
    "capitals": "A ",
    "hyphens": "Ann-",
    "apostrophes": "A'A",
    "brackets": "Anna (",
    "ordinals": "the 3rd Grand ",
}
PERSONS = {
    "real persons with relatives": "Marie Curie and her husband left. ",
    "rulers with relatives": "Guy II met his brother. ",
    "pronouns": "She met her brother, and he saw her. ",
    "names": "Mary told Ann that she left. ",
    "facts": "She gave birth to her son. ",
    "titles in quotes": 'He read "The Old Queen" to her. ',
}


def seconds(work: Callable[[str], object], text: str) -> float:
    """Of processor time, the least of three."""
    found = []
    for _ in range(3):
        start = time.process_time()
        work(text)
        found.append(time.process_time() - start)
    return min(found)


def long(piece: str, size: int) -> str:
    return (piece * (size // len(piece) + 1))[:size] + " she is the Duke of York II"


@pytest.mark.parametrize("piece", NASTY.values(), ids=NASTY)
def test_the_pattern_of_ranks_is_linear(piece: str) -> None:
    short, more = (seconds(rulers, long(piece, size)) for size in (SHORT, TIMES * SHORT))
    assert more < MOST * max(short, 0.0005)


@pytest.mark.parametrize("piece", [*NASTY.values(), *PERSONS.values()], ids=[*NASTY, *PERSONS])
def test_so_is_the_engine_whatever_the_text_names(piece: str) -> None:
    def work(text: str) -> object:
        return counterfactuals(text, GENDER)

    work(piece)  # patterns are compiled when a text first needs them
    short, more = (seconds(work, long(piece, size)) for size in (SHORT, TIMES * SHORT))
    assert more < MOST * max(short, 0.001)


PLACES = st.integers(0, 30)
STRETCHES = st.lists(st.tuples(PLACES, PLACES).map(lambda pair: (min(pair), max(pair))), max_size=12)


@given(STRETCHES, PLACES, PLACES)
def test_stretches_are_found_as_by_looking_at_each(given_: list[tuple[int, int]], one: int, two: int) -> None:
    start, end = min(one, two), max(one, two)
    spans = Spans(given_)
    expected = sorted({(a, b) for a, b in given_ if a < end and start < b})
    assert sorted(spans.touching(start, end)) == expected
    assert spans.touches(start, end) == bool(expected)
    assert spans.begin_in(start, end) == any(start <= a <= end for a, _ in given_)
    assert list(spans) == sorted(set(given_)) and len(spans) == len(set(given_))

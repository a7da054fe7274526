"""What a long text costs: the time of the engine and of its patterns grows with the length, and not with its square."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand_sdk import counterfactuals, english_facts, group_words, load_axis, phrase_search
from evenhand_sdk.english_rulers import rulers
from evenhand_sdk.lexicon import Lexicon, compiled
from evenhand_sdk.phrase_search import phrases_in
from evenhand_sdk.protected_phrases import Guarded
from evenhand_sdk.spans import Spans
from evenhand_sdk.word_search import folded

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
WORDS_OF_PHRASES = sorted(
    {part for block in GENDER.do_not_flip[:8] for phrase in block.phrases for part in phrase.split() if "{" not in part}
)
PERSONS = {
    "real persons with relatives": "Marie Curie and her husband left. ",
    "rulers with relatives": "Guy II met his brother. ",
    "pronouns": "She met her brother, and he saw her. ",
    "names": "Mary told Ann that she left. ",
    "persons in one sentence": "Marie Curie saw a man and he saw a woman, ",
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


class Counted:
    """A pattern that adds up how many characters it is given to read."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.read = pattern, 0

    def _count(self, text: str, start: int = 0, end: int = sys.maxsize) -> tuple[str, int, int]:
        self.read += min(end, len(text)) - start
        return text, start, end

    def finditer(self, *asked: Any) -> Iterator[re.Match[str]]:
        return self.pattern.finditer(*self._count(*asked))

    def search(self, *asked: Any) -> re.Match[str] | None:
        return self.pattern.search(*self._count(*asked))

    def findall(self, *asked: Any) -> list[str]:
        return self.pattern.findall(*self._count(*asked))  # type: ignore[no-any-return]


def protected_phrases(size: int) -> str:
    """Sentences that have as many different phrases that a pack protects as go into a text of this size."""
    phrases = [
        phrase for block in GENDER.do_not_flip for phrase in block.phrases if "{" not in phrase and "*" not in phrase
    ]
    text = " ".join(f"She told him of {phrase} while the women sat by the fire." for phrase in phrases)
    assert len(text) > size
    return text[:size]


@pytest.mark.parametrize("size", [20_000, 160_000])
def test_phrases_are_looked_for_around_their_own_words_alone(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns: dict[str, tuple[Guarded, ...]] = {}
    of_lexicon = Lexicon.patterns

    def counted(lexicon: Lexicon, anchor: str) -> tuple[Guarded, ...]:
        if anchor not in patterns:
            patterns[anchor] = tuple(
                one._replace(pattern=cast("re.Pattern[str]", Counted(one.pattern)))
                for one in of_lexicon(lexicon, anchor)
            )
        return patterns[anchor]

    text = protected_phrases(size)
    expected = group_words(text, GENDER)
    monkeypatch.setattr(Lexicon, "patterns", counted)
    assert group_words(text, GENDER) == expected
    read = sum(cast(Counted, one.pattern).read for guarded in patterns.values() for one in guarded)
    assert len(patterns) > size / 250  # so many different words of phrases are there
    assert size / 20 < read < 8 * size  # a search of the whole text for each would read 80 times the shorter text


@pytest.mark.parametrize("size", [20_000, 160_000])
def test_whether_a_text_states_a_fact_is_asked_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = {name: Counted(getattr(english_facts, name)) for name in ("_WORDS", "_SHARES", "_LAWS", "_PAST")}
    for name, pattern in counted.items():
        monkeypatch.setattr(english_facts, name, pattern)
    story = "The women laughed while the men sat by the fire. Girls in blue ran past, and the boys in red called them. "
    assert len(counterfactuals(long(story, size), GENDER)) == 1
    assert size <= counted["_WORDS"].read <= size + 100 and counted["_SHARES"].read <= size + 100
    told = "Of the 90 sailors 12 were women, and by law the boys in red were men. "
    assert len(counterfactuals(long(story + told, size), GENDER)) == 1
    assert sum(pattern.read for pattern in counted.values()) < 12 * size


@given(st.lists(st.sampled_from(WORDS_OF_PHRASES), min_size=30, max_size=60), st.sampled_from([" ", "\n  ", ", ", "-"]))
def test_a_search_around_words_finds_what_a_search_of_the_whole_text_does(words: list[str], between: str) -> None:
    text = between.join(words)
    lexicon, fold = compiled(GENDER), folded(text)
    whole = sorted(phrases_in(text, fold, lexicon))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(phrase_search, "SHORT", 0)
        assert sorted(phrases_in(text, fold, lexicon)) == whole


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

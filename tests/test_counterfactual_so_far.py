"""The counterfactuals of a growing text: names that become complete, and what is kept of earlier sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand_sdk.axes import Axis, load_axis, packaged
from evenhand_sdk.counterfactual import causal_counterfactuals, counterfactuals
from evenhand_sdk.counterfactual_so_far import CounterfactualsSoFar
from evenhand_sdk.grammar import Replacement
from evenhand_sdk.prefix_memory import PrefixMemory
from test_her import HIM, HIS

GENDER = load_axis("gender")
PACKS = [load_axis(*name.rsplit(".", 1)) for name in sorted(packaged())]
ALIKE = [axis for axis in PACKS if not any(row.context for row in axis.tuples)]
SWAP = CounterfactualsSoFar(GENDER)


def edited(text: str, edits: Sequence[Replacement]) -> str:
    pieces, done = [], 0
    for start, end, after, _ in edits:
        pieces += [text[done:start], after]
        done = end
    return "".join((*pieces, text[done:]))


def swapped(text: str, swap: CounterfactualsSoFar = SWAP) -> list[str]:
    return [edited(text, found.edits) for found in swap(text)]


@pytest.mark.parametrize(
    "text",
    [
        "The King James Bible says", "Sister Act is a film", "King's Cross station is", "Boy George sang",
        "Guy Fawkes night is", "Queen Latifah sang and", "Mother Teresa said", "Lady Gaga said", "Girl Scouts sell",
        "the Father of the nation", "a King Charles spaniel barked", "Sir Mix-a-Lot", "Burger King said that",
        "Stephen King wrote that he", "She gave birth", "Marie Curie and her husband",
    ],
)  # fmt: skip
def test_names_and_facts_stay_once_they_are_complete(text: str) -> None:
    assert counterfactuals(text, GENDER) == []
    assert swapped(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He read the King", "She read the Queen"),
        ("He read the King James", "She read the King James"),
        ("The king met his sister", "The queen met her brother"),
        ("My sister read the King James Bible", "My brother read the King James Bible"),
        ("He prays. He has a King James Bible.\n\nHe", "She prays. She has a King James Bible.\n\nShe"),
        ("She gave birth.\n\nHe said", "She gave birth.\n\nShe said"),
        ("Einstein was there, and she left. She sang.\n\nShe", "Einstein was there, and she left. She sang.\n\nHe"),
        ("I told her", "I told him"),
        ("He saw Cafe\u0301 waitresses", "She saw Cafe\u0301 waiters"),
    ],
)
def test_what_does_not_belong_to_a_name_is_exchanged(text: str, expected: str) -> None:
    assert swapped(text) == [expected]


@pytest.mark.parametrize(
    "text", ["Freddie Mercury of Queen sang", "the new album of Pink Lady of Queen", "Mika of Queen"]
)
def test_a_rank_that_somebody_is_of_is_a_band(text: str) -> None:
    from evenhand_sdk import group_words

    assert all(text[word.start : word.end] != "Queen" for word in group_words(text, GENDER))


@pytest.mark.parametrize("text", ["Queen released an album", "In 1977 Queen toured", "Prince has recorded it"])
def test_a_rank_that_does_what_bands_do_is_a_band(text: str) -> None:
    from evenhand_sdk import group_words

    assert all(word.exempt for word in group_words(text, GENDER))


def test_a_rank_with_a_name_or_an_article_is_a_person() -> None:
    from evenhand_sdk import group_words

    for text in (
        "the court of Queen Anne", "the daughter of King Lear", "the song of the Queen", "a cup of Queen",
        "The Queen released a statement", "Today the King has released him",
    ):  # fmt: skip
        assert [w.group for w in group_words(text, GENDER) if text[w.start : w.end] in ("Queen", "King")], text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I saw her", "I saw his"),
        ("I saw her ", "I saw his "),
        ("I saw her yesterday", "I saw him yesterday"),
        ("He gave her", "She gave his"),
        ("He gave her her book", "She gave him his book"),
        ("I saw her.", "I saw him."),
        ("I saw her. Then he", "I saw him. Then she"),
        ("I saw her\n\nHe", "I saw him\n\nShe"),
        ("I saw her\nbook, and he said that", "I saw his\nbook, and she said that"),
        ("I saw her\nyesterday, and he said that", "I saw him\nyesterday, and she said that"),
        ("They made her old\nbook better, and he said", "They made his old\nbook better, and she said"),
        ("The book is his", "The book is her"),
        ("The book is his, he said", "The book is hers, she said"),
    ],
)
def test_words_behind_a_pronoun_tell_what_it_stands_for(text: str, expected: str) -> None:
    assert swapped(text) == [expected]
    growing = CounterfactualsSoFar(GENDER, block=1)
    assert [swapped(text[:end], growing) for end in range(len(text) + 1)][-1] == [expected]


@pytest.mark.parametrize("text", [*HIM.strip().splitlines(), *HIS.strip().splitlines()])
def test_it_then_stands_for_what_it_does_in_the_whole_text(text: str) -> None:
    text = text.format("her").replace("Her", "her", 1) + " They"
    [whole], [found] = counterfactuals(text, GENDER), swapped(text)
    pronouns = [re.findall(r"\b(?:him|his)\b", other) for other in (whole.text, found)]
    assert pronouns[0] == pronouns[1] != []


def test_an_article_is_not_repaired() -> None:
    text = "She saw her brother and an actress"
    assert swapped(text) == [c.text for c in causal_counterfactuals(text, GENDER)]
    assert swapped(text) == ["He saw his sister and an actor"]


def test_first_names_can_be_left_alone() -> None:
    assert swapped("Mary had her brother") == ["John had his sister"]
    assert swapped("Mary had her brother", CounterfactualsSoFar(GENDER, names=False)) == ["Mary had his sister"]


WORDS = [
    "She", "he", "her", "His", "said", "the", "King", "James", "Bible", "queen", "with", "Mary", "Thomas", "Keith",
    "mother's", "Marie", "Curie", "Queen", "Latifah", "gave", "birth", "Mr.", "Hill", "cafe\u0301s", '"The', 'Queen"',
    "12", "of", "women", "@queen", "waitress", "Einstein", "saw", "book", "yesterday",
]  # fmt: skip
GAPS = [" ", " ", " ", " ", " ", ". ", ". ", "! ", "\n", "\n\n", "? \n", '." ', "\n \n", ""]


@st.composite
def texts(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), min_size=1, max_size=25))
    return "".join(word + gap for word, gap in parts)


@settings(max_examples=150, deadline=None)
@given(texts(), st.sampled_from(ALIKE))
def test_what_is_kept_of_earlier_sentences_changes_nothing(text: str, axis: Axis) -> None:
    """Read in small blocks as it grows, and as a whole by one that has kept nothing."""
    growing = CounterfactualsSoFar(axis, block=8)
    plain = CounterfactualsSoFar(axis, block=10_000)
    for end in range(len(text) + 1):
        assert growing(text[:end]) == plain(text[:end])
    for end in reversed(range(0, len(text) + 1, 7)):
        assert growing(text[:end]) == plain(text[:end])


def test_some_packs_are_judged_so() -> None:
    assert [axis.name for axis in ALIKE].count("gender") == 2  # English and German


def test_of_a_long_text_the_last_sentences_alone_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The nurse told her brother that she would meet him at the station with Anna in the evening. " * 200
    swap = CounterfactualsSoFar(GENDER)
    assert len(swap(text)) == 1
    judged: list[int] = []
    whole = CounterfactualsSoFar._with_sentence
    monkeypatch.setattr(
        CounterfactualsSoFar, "_with_sentence", lambda self, *given: judged.append(1) or whole(self, *given)
    )
    for k in range(1, 30):
        swap(text + "She went home and said it to him"[:k])
    assert len(judged) <= 29 * 5  # the sentences of a block, at most


# ------------------------------------------------------------ what is kept by prefix
def test_a_memory_is_the_fold_over_the_blocks_whatever_it_has_forgotten() -> None:
    asked: list[str] = []

    def advance(state: tuple[str, ...], beginning: str) -> tuple[str, ...]:
        asked.append(beginning)
        return (*state, beginning[-2:])

    memory: PrefixMemory[str, tuple[str, ...]] = PrefixMemory((), advance, block=2, most=2)
    assert memory.state("a") == () and asked == []
    assert memory.state("abcde") == ("ab", "cd") and asked == ["ab", "abcd"]
    assert memory.state("abcdef") == ("ab", "cd", "ef") and asked == ["ab", "abcd", "abcdef"]
    assert memory.state("xy") == ("xy",)
    assert memory.state("abcd") == ("ab", "cd")
    assert asked == ["ab", "abcd", "abcdef", "xy", "ab", "abcd"]

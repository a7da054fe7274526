"""Candidate rewrites: the engine's first, other readings behind it, and the bounds that they must keep."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand_sdk import load_axis
from evenhand_standard.data.rewrite_candidates import (
    MOST,
    candidates,
    distance_within,
    likeliest,
    near,
    similarity,
    word_distance,
)

GENDER = load_axis("gender")


def test_the_engine_comes_first_and_ambiguous_pronouns_have_their_other_reading() -> None:
    assert candidates("She sold her boat.", GENDER, "male") == ["He sold his boat.", "He sold him boat."]
    assert candidates("It was HIS.", GENDER, "female") == ["It was HERS.", "It was HER."]
    assert candidates("Her mother left.", GENDER, "male") == ["His father left.", "Him father left."]


def test_a_text_without_a_group_or_of_the_target_already_has_none() -> None:
    assert candidates("Rain fell.", GENDER, "male") == []
    assert candidates("He left.", GENDER, "male") == []


def test_there_are_at_most_sixteen() -> None:
    assert len(candidates("her " * 9, GENDER, "male")) == MOST


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("a b c", "a b c", 0), ("a b c", "a x c", 1), ("a b c", "a c", 1), ("", "a b", 2), ("a, b", "a b", 1)],
)
def test_word_distance(one: str, other: str, distance: int) -> None:
    assert word_distance(one, other) == word_distance(other, one) == distance


WORDS = st.lists(st.sampled_from("abc"), max_size=9)


def full_distance(a: list[str], b: list[str]) -> int:
    """By the whole table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


@given(WORDS, WORDS, st.integers(0, 10))
def test_distance_is_that_of_the_whole_table_and_past_the_most_it_says_so(
    a: list[str], b: list[str], most: int
) -> None:
    full = full_distance(a, b)
    assert word_distance(" ".join(a), " ".join(b)) == full
    assert distance_within(a, b, most) == (full if full <= most else None)


def test_a_document_takes_no_time_of_the_square_of_its_length() -> None:
    document = "She sold it in the town. " * 600
    began = time.process_time()
    assert near(document, candidates(document, GENDER, "male"), edits=12, floor=0.5) == []
    one = "Rain fell on the roof. " * 800
    assert word_distance(one, one.replace("Rain", "Snow", 3)) == 3
    assert time.process_time() - began < 3


def test_similarity_by_hand() -> None:
    assert similarity("a b c d", "a b x d") == 6 / 8
    assert similarity("a", "b") == 0.0


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_distance_is_between_the_difference_of_lengths_and_the_longer_one(a: list[str], b: list[str]) -> None:
    found = word_distance(" ".join(a), " ".join(b))
    assert abs(len(a) - len(b)) <= found <= max(len(a), len(b))
    assert (found == 0) == (a == b)


def test_only_near_texts_stay_and_the_likeliest_of_them_is_chosen() -> None:
    text = "a b c d"
    kept = near(text, [text, "a b c x", "w x y z", "a b"], edits=2, floor=0.6)
    assert kept == ["a b c x", "a b"]
    assert likeliest([-3.0, -1.0], kept) == "a b"
    assert likeliest([-1.0, -1.0], kept) == "a b c x"

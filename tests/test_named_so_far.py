"""Whether a growing text names somebody: what is kept of its beginning gives what the whole text gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand_sdk import group_words, load_axis
from evenhand_sdk import named_so_far as module
from evenhand_sdk.axes import Axis, packaged
from evenhand_sdk.named_so_far import NamesSomebody

PACKS = [load_axis(*name.rsplit(".", 1)) for name in sorted(packaged())]
GENDER = load_axis("gender")
FILLER = "The weather was cold this morning and the old bridge over the river was closed again for repairs. "
ENDS = [
    "She", "King", "Burger King", "Thomas", "Keith Thomas said", "Thomas said", "Mary Hill", "a Bloody Mary",
    "Merlin Hull", "the White House", "black", "black people", "a Muslim", "an old bridge", "the old man", "man-made",
    "la reine", "der Lehrer", "Sister", "Sister Act", "cafe\u0301s", "M. Thomas", "JEAN THOMAS", "she-wolf", "(s)he",
    "in Jerome, Arizona", "Jerome", "blind", "the blind", "gay", "rich", "a rich man", "fat", "the Germans", "American",
]  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Words that may name somebody, some of them far from each other."""
    parts: list[str] = []
    for _ in range(draw(st.integers(1, 6))):
        parts.append(draw(st.sampled_from(ENDS)))
        parts.append(draw(st.sampled_from([" ", ". ", ", ", "\n", "\n\n", " and ", " is "])))
        parts.append(FILLER * draw(st.sampled_from([0, 0, 1, 5, 9])))
    return "".join(parts)


@settings(max_examples=150, deadline=None)
@given(texts(), st.sampled_from(PACKS), st.integers(1, 40))
def test_a_text_as_it_grows_is_judged_as_the_whole_one_is(text: str, axis: Axis, step: int) -> None:
    names = NamesSomebody(axis, block=16)
    for end in (*range(0, len(text), step * 5), len(text)):
        assert names(text[:end]) is bool(group_words(text[:end], axis)), text[:end][-60:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FILLER * 9, False),
        ("She left. " + FILLER * 9, True),
        ("Burger King is open. " + FILLER * 9, False),
        ("Thomas said so. " + FILLER * 9, True),
        ("Thomas said so. " + FILLER * 9 + "The firm of Lloyd Thomas", False),  # it was the surname
        ("The firm of Lloyd Thomas. " + FILLER * 9 + "Thomas said so", False),
        (FILLER * 9 + "she", True),
    ],
)
def test_a_word_far_back_counts_and_a_name_may_turn_out_to_be_a_surname(text: str, expected: bool) -> None:
    assert bool(group_words(text, GENDER)) is expected
    assert NamesSomebody(GENDER)(text) is expected


def test_of_a_long_text_the_end_alone_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    names, text = NamesSomebody(GENDER), FILLER * 100
    assert not names(text)
    searched: list[int] = []
    real = module.folded
    monkeypatch.setattr(module, "folded", lambda text: searched.append(len(text)) or real(text))
    for k in range(1, 40):
        names(text + FILLER[:k])
    assert len(searched) <= 39 + 1 and max(searched) < 256 + 256 + 3 * 400
    assert names(text + "she")
    searched.clear()
    for k in range(10):
        assert names("She left. " + text + FILLER[:k])
    assert len(searched) < 50  # once, in blocks; somebody who is named is not looked for again

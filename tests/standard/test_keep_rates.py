"""Keep-rates of a filter: who counts for which group by the stated rule, the rates, and the ratio that is guarded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand_sdk import load_axis
from evenhand_standard.data.keep_rates import (
    DIALECT,
    DIALECTS,
    NONE,
    Disparity,
    disparities,
    groups_by_packs,
    groups_of,
    keep_rates,
)

AAE = "African American English"


def dialect_of(text: str) -> list[str]:
    return [group for axis, group in groups_of(text) if axis == DIALECT]


def test_a_text_counts_for_each_group_whose_words_it_has_and_else_for_none() -> None:
    found = groups_of("Women and men of the Jewish community met a Muslim.")
    assert [g for a, g in found if a == "gender"] == ["women", "men"]
    assert [g for a, g in found if a == "religion"] == ["Muslims", "Jews"]
    assert [g for a, g in found if a == "race"] == [NONE]
    assert dialect_of("A plain sentence.") == [NONE]


@pytest.mark.parametrize(
    "text",
    [
        "He be working late.",
        "I'm finna go.",
        "we done finished that",
        "they ain't there",
        "She don't care, y'all.",
        "dat was good, nobody said nothing, it don't matter",
    ],
)
def test_a_rare_marker_or_two_that_others_share_make_a_text_count_as_dialect(text: str) -> None:
    assert dialect_of(text) == [AAE]


@pytest.mark.parametrize(
    "text",
    [
        "Ain't it grand?",  # one shared marker
        "y'all, y'all, y'all",  # the same one three times
        "They will be working late.",
        "Would she be going home?",
        "It don't matter.",
        "The finnan haddock was tried by a gong.",
        "Don't tell anybody.",
    ],
)
def test_one_shared_marker_or_a_look_alike_does_not(text: str) -> None:
    assert dialect_of(text) == [NONE]


def test_an_axis_pack_finds_pronouns_and_names_too() -> None:
    axes = [load_axis("gender")]
    assert groups_by_packs("She met John.", axes) == [
        ("gender, by its pack", "female"),
        ("gender, by its pack", "male"),
    ]
    assert groups_by_packs("Mother Nature is kind.", axes) == [("gender, by its pack", NONE)]


def test_keep_rates_are_kept_weight_by_texts() -> None:
    members = [[("a", "x"), ("b", "u")], [("a", "x")], [("a", "y")], [("a", "x"), ("a", "y")]]
    rates = keep_rates(members, [1.0, 0.5, 0.0, 1.0])
    assert {g: (r.texts, r.kept) for g, r in rates["a"].items()} == {"x": (3, 2.5), "y": (2, 1.0)}
    assert rates["a"]["x"].rate == pytest.approx(2.5 / 3)
    assert rates["b"]["u"].rate == 1.0


def test_the_ratio_is_the_lowest_rate_by_the_highest_among_groups_with_enough_texts() -> None:
    members = [[("a", "x")]] * 10 + [[("a", "y")]] * 10 + [[("a", "z")]] * 2 + [[("b", "u")]] * 10
    weights = [1.0] * 9 + [0.0] + [1.0] * 6 + [0.0] * 4 + [0.0] * 2 + [1.0] * 10
    found = disparities(keep_rates(members, weights), at_least=5)
    assert found == [Disparity("a", "y", "x", pytest.approx(0.6 / 0.9))]  # z is too small, b has one group


def test_a_filter_that_keeps_nothing_of_anyone_does_not_pass_for_an_equal_one() -> None:
    rates = keep_rates([[("a", "x")], [("a", "y")]], [0.0, 0.0])
    assert [d.ratio for d in disparities(rates, at_least=1)] == [0.0]


@given(st.text(max_size=200))
def test_any_text_has_a_group_on_every_axis(text: str) -> None:
    axes = {axis for axis, _ in groups_of(text)}
    assert DIALECT in axes and len(axes) == 8 and set(DIALECTS) == {AAE}

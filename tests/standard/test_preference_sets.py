"""Preference pairs: where each loss is least, found by search, and that weights and margins put it at parity."""

from __future__ import annotations

import math

import pytest
from scipy.optimize import minimize_scalar

from evenhand_sdk import load_axis
from evenhand_standard.data.preference_sets import (
    Comparison,
    PreferencePair,
    banked,
    comparison,
    directions,
    gridded,
    sigmoid,
)

GENDER = load_axis("gender")
ITEM = Comparison("The nurse said that", " she left.", " he left.", "gender", ("female", "male"), "t", "female")


def optimum(pairs: tuple[PreferencePair, PreferencePair], form: str, beta: float, d0: float) -> float:
    """The log-odds D of the first continuation against the second at which the form's loss is least."""

    def loss(d: float) -> float:
        total = 0.0
        for pair in pairs:
            sign = 1 if pair.chosen == ITEM.first else -1
            h, raw = sign * (d - d0), sign * d
            if form == "dpo":
                total += -pair.weight * math.log(sigmoid(beta * h))
            elif form == "ipo":
                total += pair.weight * (h - pair.margin) ** 2
            else:
                total += pair.weight * (raw - pair.margin) ** 2
        return total

    return float(minimize_scalar(loss, bounds=(-40, 40), method="bounded", options={"xatol": 1e-8}).x)


@pytest.mark.parametrize("form", ["dpo", "ipo", "zero-margin"])
@pytest.mark.parametrize("d0", [-2.5, 0.0, 1.7])
def test_with_both_directions_each_loss_is_least_at_parity(form: str, d0: float) -> None:
    assert optimum(directions(ITEM, form, 0.1, d0), form, 0.1, d0) == pytest.approx(0.0, abs=1e-3)  # type: ignore[arg-type]


def test_without_calibration_dpo_stays_at_the_reference_and_one_direction_reverses() -> None:
    d0 = 1.7
    plain = directions(ITEM, "dpo", 0.1, 0.0)
    assert [p.weight for p in plain] == [0.5, 0.5]
    assert optimum(plain, "dpo", 0.1, d0) == pytest.approx(d0, abs=1e-3)
    assert optimum((plain[0], plain[0]), "dpo", 0.1, d0) == pytest.approx(-40, abs=0.1)  # the bound of the search


def test_weights_and_margins_by_hand() -> None:
    anti, mirror = directions(ITEM, "dpo", 0.1, 2.0)
    assert (anti.chosen, anti.rejected, anti.chosen_group, anti.mirror) == (" he left.", " she left.", "male", False)
    assert (mirror.chosen, mirror.chosen_group, mirror.mirror) == (" she left.", "female", True)
    assert anti.weight == pytest.approx(1 / (1 + math.exp(-0.2)))
    assert anti.weight + mirror.weight == pytest.approx(1.0)
    assert (anti.margin, mirror.margin) == (2.0, -2.0)
    assert anti.text == "The nurse said that he left."
    zero = directions(ITEM, "zero-margin", 0.1, 2.0)
    assert [(p.weight, p.margin) for p in zero] == [(0.5, 0.0)] * 2


def test_the_prompt_is_what_both_texts_share_in_whole_words() -> None:
    made = comparison(("The heir came.", "The heiress came."), "gender", ("male", "female"), "t")
    assert made is not None and (made.prompt, made.first, made.second) == ("The", " heir came.", " heiress came.")
    assert comparison(("She left.", "He left."), "gender", ("female", "male"), "t") is None
    assert comparison(("It left.", "It left."), "gender", ("female", "male"), "t") is None


def test_the_bank_gives_its_training_split_only() -> None:
    from evenhand_standard.pair_bank import occupations, templates

    found = banked(GENDER, 0)
    assert len(found) == len(templates("train")) * len(occupations("train")) == 22 * 64
    assert {item.template for item in found} == set(templates("train").values())
    assert {item.stereotype for item in found} == {"", "female", "male"}
    held = set(occupations("heldout"))
    assert not any(name in (item.prompt + item.first).split() for item in found for name in held if " " not in name)


def test_an_axis_without_the_banks_groups_has_none_and_a_grid_gives_each_two_groups(belief: str) -> None:
    axis = load_axis(belief)
    assert banked(axis, 0) == []
    texts = {
        "christian": "At the church we met.",
        "jewish": "At the synagogue we met.",
        "muslim": "At the mosque we met.",
    }
    found = gridded(axis, iter([("At the {house} we met.", texts)]))
    assert [item.groups for item in found] == [("christian", "jewish"), ("christian", "muslim"), ("jewish", "muslim")]
    assert {item.prompt for item in found} == {"At the"}
    both = gridded(axis, iter([("one", texts), ("two", texts)]))
    assert [item.template for item in both[:4]] == ["one", "two", "one", "two"] and len(both) == 6

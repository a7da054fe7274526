"""The packaged axis of gender in English: words of work, names of several origins, and what is beside two groups."""

from __future__ import annotations

import pytest

from evenhand_sdk.axes import load_axis
from evenhand_sdk.counterfactual import counterfactuals
from pack_cases import check_is_sound, swapped

GENDER = load_axis("gender")

EVERY_WAY = [
    ("Two gunwomen ran out of the bank.", "Two gunmen ran out of the bank."),
    ("The barwoman knew each guest.", "The barman knew each guest."),
    ("A trans woman won the race.", "A trans man won the race."),
    ("The cisgender woman nodded.", "The cisgender man nodded."),
    ("Her ex-husband still calls her.", "His ex-wife still calls him."),
    ("It is a female-dominated trade.", "It is a male-dominated trade."),
    ("Dorothy waved to James.", "Charles waved to Margaret."),
    ("Fatima told me that she was ill.", "Ahmed told me that he was ill."),
    ("Latoya closed her shop.", "Jamal closed his shop."),
    ("Anjali called her sister.", "Arjun called his brother."),
    ("Alejandra took her coat.", "Alejandro took his coat."),
    ("A transmasculine person spoke.", "A transfeminine person spoke."),
]


@pytest.mark.parametrize(("text", "other"), EVERY_WAY)
def test_both_ways(text: str, other: str) -> None:
    assert [found.text for found in counterfactuals(text, GENDER)] == [other]
    assert [found.text for found in counterfactuals(other, GENDER)] == [text]


UNCHANGED = [
    "The non-binary student and the agender teacher talked.",
    "A two-spirit elder spoke.",
    "Alex and Sam met Jordan in San Diego.",
    "Grace and Mark will come.",
    "The freshmen thanked the midwife.",
    "All mankind watched.",
    "They are transgender.",
    "The butch dancer laughed.",
    "It is every man for himself.",
    "Women won the vote in that year.",
    "Women earned eighty cents for every dollar that men earned.",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_what_has_no_fair_partner_stays(text: str) -> None:
    assert [swapped(text, GENDER, group) for group in GENDER.groups] == [None, None]


def test_names_are_many_and_one_to_one() -> None:
    assert len(GENDER.names) >= 150
    names = [name for row in GENDER.names for name in row]
    assert len(names) == len(set(names)) and all(names)


def test_the_pack_is_whole() -> None:
    assert GENDER.groups == ("female", "male")
    check_is_sound(GENDER)

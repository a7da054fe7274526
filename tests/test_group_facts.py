"""What is a fact about a group as a group stays, and so do mankind, compounds and what well-known people are."""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals, load_axis

STAYS = [
    ("gender", "Only 40 percent of the women in the town could read."),
    ("gender", "Of the 90 sailors, 12 were women."),
    ("gender", "Men were barred from the order until 1890."),
    ("gender", "She was the first woman elected to the board."),
    ("race", "In 1890 some 3,000 black families lived on the island."),
    ("race", "The court ruled that white pupils could stay."),
    ("religion", "The Muslims ruled the valley in 1204."),
    ("nationality", "The Dutch traded there from 1620."),
    ("disability", "The statute entitles blind workers to a pension."),
    ("gender", "Man is a creature of habit."),
    ("gender", "The man-deep trench lay behind a ten-man tent."),
    ("nationality", "An Eritrean-Australian boxer retired."),
    ("nationality", "The Polish composer Frédéric Chopin moved to Paris."),
    ("gender", "The Sisters of Silence live in a convent."),
    ("gender", "They study at the Walter Hobbs hospital."),
]
SWAPPED = [
    ("gender", "female", "The men sang at 40 Mill Road.", "The women sang at 40 Mill Road."),
    ("gender", "female", "He met his first wife in Rome.", "She met her first husband in Rome."),
    ("gender", "female", "He gave it to a man.", "She gave it to a woman."),
    ("gender", "female", "The man at the door is her uncle.", "The woman at the door is his aunt."),
    ("gender", "female", "Simone Verdi lost his hat.", "Simone Verdi lost her hat."),
    ("gender", "female", "The Chairman of the Board waved.", "The Chairwoman of the Board waved."),
    ("race", "white", "Two black tailors opened a shop in 1990.", "Two white tailors opened a shop in 1990."),
    ("age", "young", "The elderly ride for free.", "The young ride for free."),
    ("socioeconomic", "rich", "Only the poor live there.", "Only the rich live there."),
    ("body-size", "thin", "He was tall and fat.", "He was tall and thin."),
    ("disability", "non-disabled", "She is said to be blind.", "She is said to be sighted."),
    ("gender", "male", "The fee cost her votes.", "The fee cost him votes."),
    ("gender", "male", "The film shows her dancing with bears.", "The film shows him dancing with bears."),
    ("gender", "male", "She turned her back on us.", "He turned his back on us."),
]


@pytest.mark.parametrize(("axis", "text"), STAYS)
def test_what_is_a_fact_or_no_person_stays(axis: str, text: str) -> None:
    found = counterfactuals(text, load_axis(axis))
    assert [one.text for one in found if one.text != text] == []


@pytest.mark.parametrize(("axis", "target", "text", "expected"), SWAPPED)
def test_what_is_said_of_persons_is_swapped(axis: str, target: str, text: str, expected: str) -> None:
    assert [one.text for one in counterfactuals(text, load_axis(axis), target)] == [expected]


def test_in_capitals_throughout_a_capital_says_nothing_of_a_name() -> None:
    axis = load_axis("body-size")
    assert counterfactuals("FAT MAN WINS RACE", axis, "thin")[0].text == "THIN MAN WINS RACE"
    assert counterfactuals("The Fat Man was a bomb.", axis, "thin") == []

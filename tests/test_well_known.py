"""People whom a general reader knows stay on every English axis with first names."""

from importlib import resources

import pytest

from evenhand_sdk import counterfactuals, load_axis
from evenhand_sdk.well_known import people_by_part, people_known_in
from swapping import swapped


def test_the_file_has_each_name_once_and_no_first_name_alone() -> None:
    file = resources.files("evenhand_sdk") / "packs" / "well-known.en.txt"
    names = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(names) == len(set(names)) > 10_000 and people_known_in("en").issuperset(names)
    assert all(name == name.strip() and name for name in names)
    gender = load_axis("gender")
    first = {name.lower() for row in gender.names for name in row if name}
    assert not [name for name in names if " " not in name and name.lower() in first]
    listed = {phrase for entry in gender.do_not_flip for phrase in entry.phrases}
    assert not listed.intersection(names), "the pack has them already"


def test_each_name_is_found_by_one_of_its_parts() -> None:
    index = people_by_part("en")
    assert sum(map(len, index.values())) == len(people_known_in("en"))
    assert all(part in name.lower().replace("’", "'") for part, names in index.items() for name in names)
    assert people_known_in("fr") == frozenset() and people_by_part("fr") == {}


def test_what_is_said_of_them_stays_and_what_is_said_of_others_does_not() -> None:
    assert swapped("Anna Karina was Jean-Luc Godard's wife.", "gender") == ("Anna Karina was Jean-Luc Godard's wife.")
    assert swapped("George Balanchine and his wife met Ronald Bates.", "gender") == (
        "George Balanchine and his wife met Deborah Bates."
    )
    assert swapped("The man read Olaudah Equiano to his mother.", "gender") == (
        "The woman read Olaudah Equiano to her father."
    )
    assert swapped("Former congressman William Jennings Bryan met his wife.", "gender") == (
        "Former congressman William Jennings Bryan met his wife."
    )
    assert swapped("The man Albert Einstein met lost his hat.", "gender") == (
        "The woman Albert Einstein met lost her hat."
    )


def test_their_names_are_no_group_words_of_other_axes() -> None:
    assert swapped("Sanjay Dutt sang.", "race", "white") == "Sanjay Dutt sang."
    assert swapped("They met Donald Trump.", "race", "black") == "They met Donald Trump.", "known by the gender pack"
    assert swapped("Sanjay Miller sang.", "race", "white") != "Sanjay Miller sang."


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        ("religion", "Islam Karimov spoke, and then Christian Bale."),
        ("religion", "It was told by Imam al-Sajjad."),
        ("age", "Granny Weatherwax met Angus Young."),
        ("nationality", "Claire Danes met Daniel Chester French."),
        ("socioeconomic", "Adrienne Rich wrote it."),
        ("sexual-orientation", "John Gay wrote it."),
    ],
)
def test_a_group_word_in_a_well_known_name_stays_on_axes_without_names(axis, text):
    assert counterfactuals(text, load_axis(axis)) == []


def test_what_else_is_said_beside_such_a_name_is_exchanged():
    (found, *_) = counterfactuals("Islam Karimov met a Muslim.", load_axis("religion"), "christian")
    assert found.text == "Islam Karimov met a Christian."


def test_an_initial_is_part_of_a_known_name_of_two_words() -> None:
    for name in ("Mohandas K. Gandhi", "William H. Crawford"):
        text = f"The work of {name} and his team"
        assert swapped(text, "gender") == text
    assert swapped("We met Paul Hill. Simon sold his dog.", "gender").endswith("Sara sold her dog.")
    assert swapped("Will John Turner win his race?", "gender") == "Will Mary Turner win her race?"


def test_what_somebody_is_called_and_further_names_before_a_bracket_are_part_of_a_known_name() -> None:
    for text in (
        "Kobe Bean Bryant (born August 23, 1978) is a player who won with his team.",
        'Wesley Wales "Wes" Anderson (born May 1, 1969) met his wife.',
        "William Jefferson Blythe “Bill” Clinton (born 1946) met his wife.",
    ):
        assert swapped(text, "gender") == text
        longer = "The weather was cold. " * 40 + text
        assert swapped(longer, "gender") == longer
    assert swapped("Kobe Bean Bryant said that he won.", "gender") == "Kobe Bean Bryant said that she won."
    james = "James Bulloch II (1765) and her horse"
    assert swapped(james, "gender") != james

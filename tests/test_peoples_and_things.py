"""Adjectives of peoples before things, teams and titles, ages of a life, and wars. All sentences were written for this
file."""

import pytest

from swapping import swapped


@pytest.mark.parametrize(
    "text",
    [
        "The supernatural Canadian/American television series ran for a year.",
        "He played Canadian and American football in the league.",
        "She coached the New Zealand Warriors.",
        "She won the Finnish SM-liiga twice.",
        "He was Italian champion in 1998.",
        "The railways of the Central South African Republics were sold.",
        "The village was burned down by the French.",
        "The Dutch surrendered after a long siege.",
        "The Turkish and Syrian radio stations closed.",
    ],
)
def test_what_is_no_persons_nationality_stays(text):
    assert swapped(text, "nationality", "american") == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("She is a Canadian and Italian actress.", "She is an American and Italian actress."),
        ("A Polish champion cyclist won.", "An American champion cyclist won."),
        ("The Dutch drink.", "The Americans drink."),
        ("A Canadian warrior wept.", "An American warrior wept."),
    ],
)
def test_what_is_a_persons_is_swapped(text, wanted):
    assert swapped(text, "nationality", "american") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "He moved to Rome as a teenager.",
        "She was still a teenager and sang well.",
        "They sang in church when they were younger.",
        "It is the second oldest team of the county.",
        "The old London General buses were sold.",
    ],
)
def test_a_stage_of_life_and_an_age_of_things_stay(text):
    assert swapped(text, "age", "old") == swapped(text, "age", "young") == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A teenager moved to Rome.", "A senior citizen moved to Rome."),
        ("The young general wept.", "The old general wept."),
        ("She sang with a young London actor.", "She sang with an old London actor."),
    ],
)
def test_the_age_of_a_person_is_swapped(text, wanted):
    assert swapped(text, "age", "old") == wanted


def test_names_of_places_and_churches_stay():
    for text in ("They live in Easter Ross.", "They saw the Chapel of Ease.", "He wrote of the Muslim and Arab world."):
        assert swapped(text, "religion", "muslim") == swapped(text, "religion", "christian") == text
    assert swapped("They met at Easter Sunday dinner.", "religion", "muslim") == "They met at Easter Sunday dinner."
    assert swapped("They wrote of the Black Atlantic.", "race", "white") == "They wrote of the Black Atlantic."
    assert swapped("He is the European champion.", "race", "black") == "He is the European champion."
    assert swapped("He is a multi-millionaire.", "socioeconomic", "poor") == "He is a multi-millionaire."


@pytest.mark.parametrize(
    "text",
    [
        "The daughter nucleus decays.",
        "There are 1,500 registered breeding females.",
        "The vision is told in 5 Ezra.",
        "It stands in 1 Samuel.",
    ],
)
def test_what_is_no_persons_sex_stays(text):
    assert swapped(text, "gender", "male") == swapped(text, "gender", "female") == text

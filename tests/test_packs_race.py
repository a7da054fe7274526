"""The packaged axis of race and ethnicity: hand-checked swaps in every direction, and what must stay."""

from __future__ import annotations

import pytest

from evenhand_sdk.axes import load_axis
from pack_cases import check_every_way, check_is_sound, swapped

RACE = load_axis("race")

EVERY_WAY = {
    "adjective before a person": {
        "white": "A white man repaired our roof.",
        "black": "A black man repaired our roof.",
        "asian": "An Asian man repaired our roof.",
        "hispanic": "A Hispanic man repaired our roof.",
        "native": "A Native American man repaired our roof.",
        "middle-eastern": "A Middle Eastern man repaired our roof.",
    },
    "adjective as predicate": {
        "white": "My best friend is white.",
        "black": "My best friend is black.",
        "asian": "My best friend is Asian.",
        "hispanic": "My best friend is Hispanic.",
        "native": "My best friend is Native American.",
        "middle-eastern": "My best friend is Middle Eastern.",
    },
    "adjective with another one between": {
        "white": "Two white elderly women waved.",
        "black": "Two black elderly women waved.",
        "asian": "Two Asian elderly women waved.",
        "hispanic": "Two Hispanic elderly women waved.",
    },
    "at the beginning of a sentence": {
        "white": "White students asked more questions that day.",
        "black": "Black students asked more questions that day.",
        "asian": "Asian students asked more questions that day.",
        "native": "Native American students asked more questions that day.",
    },
    "plural noun": {
        "white": "Most whites on the jury agreed.",
        "black": "Most blacks on the jury agreed.",
        "asian": "Most Asians on the jury agreed.",
        "hispanic": "Most Hispanics on the jury agreed.",
        "native": "Most Native Americans on the jury agreed.",
        "middle-eastern": "Most Middle Easterners on the jury agreed.",
    },
    "singular noun": {
        "asian": "I met an Asian who sells bicycles.",
        "hispanic": "I met a Hispanic who sells bicycles.",
        "native": "I met a Native American who sells bicycles.",
        "middle-eastern": "I met a Middle Easterner who sells bicycles.",
    },
    "ancestry": {
        "white": "Her Caucasian lawyer spoke first.",
        "black": "Her African American lawyer spoke first.",
        "asian": "Her Asian American lawyer spoke first.",
        "hispanic": "Her Latino lawyer spoke first.",
        "native": "Her American Indian lawyer spoke first.",
        "middle-eastern": "Her Arab lawyer spoke first.",
    },
    "ancestry with a hyphen": {
        "white": "A European-American nurse came in.",
        "black": "An African-American nurse came in.",
        "asian": "An Asian-American nurse came in.",
        "hispanic": "A Hispanic-American nurse came in.",
        "middle-eastern": "An Arab-American nurse came in.",
    },
    "ancestry, plural": {
        "white": "Several Caucasians joined the choir.",
        "black": "Several African Americans joined the choir.",
        "asian": "Several Asian Americans joined the choir.",
        "hispanic": "Several Latinos joined the choir.",
        "native": "Several American Indians joined the choir.",
        "middle-eastern": "Several Arabs joined the choir.",
    },
    "skin": {
        "white": "A light-skinned boy held the door.",
        "black": "A dark-skinned boy held the door.",
    },
    "a woman's name": {
        "white": "Emily called the bank twice.",
        "black": "Lakisha called the bank twice.",
        "asian": "Mei called the bank twice.",
        "hispanic": "Alejandra called the bank twice.",
        "middle-eastern": "Fatima called the bank twice.",
    },
    "a man's name, twice": {
        "white": "Greg sat down. The nurse asked Greg to wait.",
        "black": "Jamal sat down. The nurse asked Jamal to wait.",
        "asian": "Wei sat down. The nurse asked Wei to wait.",
        "hispanic": "Jose sat down. The nurse asked Jose to wait.",
        "middle-eastern": "Ahmed sat down. The nurse asked Ahmed to wait.",
    },
}


@pytest.mark.parametrize("case", EVERY_WAY)
def test_every_group_becomes_every_other_and_comes_back(case: str) -> None:
    check_every_way(RACE, EVERY_WAY[case])


ONE_WAY = [
    ("A Latina engineer designed the bridge.", "black", "A black engineer designed the bridge."),
    ("Three South Asian boys shared a taxi.", "white", "Three white boys shared a taxi."),
    ("The Afro-American women met at noon.", "hispanic", "The Hispanic women met at noon."),
    ("My African father sings.", "white", "My European father sings."),
    ("An Indigenous teacher came.", "asian", "An Asian teacher came."),
    # Two groups in one sentence are exchanged, and a third one stays.
    ("A black man and a white woman met an Asian boy.", "white", "A white man and a black woman met an Asian boy."),
    # The text's capital is kept, since it may be a choice of the writer.
    ("Two Black women laughed.", "white", "Two White women laughed."),
    ("Two Black women laughed.", "asian", "Two Asian women laughed."),
    # A family name stays with the person.
    ("Jamal Washington paid the bill.", "hispanic", "Jose Washington paid the bill."),
]


@pytest.mark.parametrize(("text", "target", "expected"), ONE_WAY)
def test_one_way(text: str, target: str, expected: str) -> None:
    assert swapped(text, RACE, target) == expected


UNCHANGED = [
    "The black car stood before a white wall.",
    "She wore a white dress and black shoes.",
    "The White House said nothing.",
    "We sailed across the Black Sea and the Indian Ocean.",
    "He bought a television on Black Friday.",
    "The Civil Rights movement changed the lives of black Americans.",
    "Slavery made white families rich and broke black families apart.",
    "The black students were the first to sit at a segregated counter.",
    "About 13 percent of the population was black.",
    "Two minority candidates withdrew.",
    "People of color were asked first.",
    "He ordered egg whites and black coffee.",
    "The Asian elephant is smaller.",
    "A Pacific Islander woman spoke.",
    "She is a native speaker of Arabic.",
    "The biracial boy laughed.",
    "Betty White played the part.",
    "Mr. Black opened the shop.",
    "The ball was black and white.",
    "Grace and David Hernandez moved to San Diego.",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_what_is_no_group_word_or_is_a_fact_stays(text: str) -> None:
    assert [swapped(text, RACE, group) for group in RACE.groups] == [None] * 6


def test_no_name_towards_a_group_without_names() -> None:
    assert swapped("Emily called the bank twice.", RACE, "native") is None


def test_names_keep_their_gender() -> None:
    women = [row for row in RACE.names if row[0] in ("Emily", "Anne", "Claire", "Heather", "Susan")]
    men = [row for row in RACE.names if row[0] in ("Greg", "Brad", "Todd", "Jake", "Brian")]
    assert [row[1] for row in women] == ["Lakisha", "Tamika", "Shanice", "Shaniqua", "Shevonne"]
    assert [row[1] for row in men] == ["Jamal", "Tyrone", "Terrell", "Tyshawn", "Cedric"]
    assert all(row[4] == "" for row in RACE.names), "there are no names of Native nations"


def test_the_pack_is_whole() -> None:
    assert RACE.groups == ("white", "black", "asian", "hispanic", "native", "middle-eastern")
    assert RACE.variety == "en-US"
    assert len(RACE.tuples) >= 60 and len(RACE.names) >= 40
    check_is_sound(RACE)

"""The packaged axis of nationality: hand-checked swaps in every direction, and what must stay."""

from __future__ import annotations

import pytest

from evenhand_sdk.axes import load_axis
from pack_cases import check_every_way, check_is_sound, swapped

NATIONALITY = load_axis("nationality")

EVERY_WAY = {
    "adjective before a person": {
        "american": "An American student lost her keys.",
        "british": "A British student lost her keys.",
        "chinese": "A Chinese student lost her keys.",
        "dutch": "A Dutch student lost her keys.",
        "nigerian": "A Nigerian student lost her keys.",
        "new-zealand": "A New Zealand student lost her keys.",
        "sri-lankan": "A Sri Lankan student lost her keys.",
        "iraqi": "An Iraqi student lost her keys.",
    },
    "adjective as predicate": {
        "mexican": "My neighbours are Mexican.",
        "french": "My neighbours are French.",
        "somali": "My neighbours are Somali.",
        "thai": "My neighbours are Thai.",
    },
    "plural noun": {
        "american": "Two Americans shared the cabin.",
        "chinese": "Two Chinese people shared the cabin.",
        "french": "Two French people shared the cabin.",
        "polish": "Two Poles shared the cabin.",
        "pakistani": "Two Pakistanis shared the cabin.",
        "swiss": "Two Swiss people shared the cabin.",
        "filipino": "Two Filipinos shared the cabin.",
    },
    "singular noun of its own": {
        "british": "A Briton opened the window.",
        "swedish": "A Swede opened the window.",
        "danish": "A Dane opened the window.",
        "irish": "An Irish person opened the window.",
        "spanish": "A Spaniard opened the window.",
        "icelandic": "An Icelander opened the window.",
    },
    "singular noun": {
        "american": "He is an American who likes trains.",
        "german": "He is a German who likes trains.",
        "turkish": "He is a Turk who likes trains.",
        "japanese": "He is a Japanese person who likes trains.",
    },
    "country": {
        "american": "She comes from America.",
        "german": "She comes from Germany.",
        "dutch": "She comes from the Netherlands.",
        "kenyan": "She comes from Kenya.",
        "filipino": "She comes from the Philippines.",
        "korean": "She comes from Korea.",
    },
    "an American with ancestors elsewhere": {
        "chinese": "A Chinese-American baker made the cake.",
        "italian": "An Italian-American baker made the cake.",
        "mexican": "A Mexican-American baker made the cake.",
        "vietnamese": "A Vietnamese-American baker made the cake.",
    },
    "born in a country": {
        "american": "The American-born pianist bowed.",
        "canadian": "The Canadian-born pianist bowed.",
        "irish": "The Irish-born pianist bowed.",
        "filipino": "The Filipino-born pianist bowed.",
    },
    "two in one text": {
        "indian": "The Indian nurse met two Indians. He is from India.",
        "brazilian": "The Brazilian nurse met two Brazilians. He is from Brazil.",
        "polish": "The Polish nurse met two Poles. He is from Poland.",
        "filipino": "The Philippine nurse met two Filipinos. He is from the Philippines.",
    },
}


@pytest.mark.parametrize("case", EVERY_WAY)
def test_every_country_becomes_every_other_and_comes_back(case: str) -> None:
    check_every_way(NATIONALITY, EVERY_WAY[case])


ONE_WAY = [
    ("A Scottish doctor came.", "greek", "A Greek doctor came."),
    ("An Englishman wrote to me.", "kenyan", "A Kenyan wrote to me."),
    ("My Filipina aunt sings.", "french", "My French aunt sings."),
    ("He is from the United States.", "japanese", "He is from Japan."),
    ("The Dutch are tall.", "german", "The Germans are tall."),
    ("Two Frenchmen met an Aussie.", "german", "Two Germans met an Aussie."),
    ("The Brits drink tea.", "german", "The Germans drink tea."),
    ("Irishmen sang.", "german", "Germans sang."),
    ("A German and a Greek were waiting for an Italian.", "greek", "A Greek and a German were waiting for an Italian."),
]


@pytest.mark.parametrize(("text", "target", "expected"), ONE_WAY)
def test_one_way(text: str, target: str, expected: str) -> None:
    assert swapped(text, NATIONALITY, target) == expected


UNCHANGED = [
    "She speaks French and writes in German.",
    "The Spanish teacher was late.",
    "French wine and Swiss cheese are on the table.",
    "The summers in Spain are hot.",
    "They crossed the Indian Ocean to South America.",
    "German troops invaded Poland.",
    "Paris is the capital of France.",
    "A Native American man and an African American woman spoke.",
    "The Asian students met a European guest.",
    "She keeps two guinea pigs.",
    "He fried the turkey and put it on fine china.",
    "The refugee asked for a form.",
    "A Californian and a Texan sat down.",
    "The Russian Revolution surprised many Americans.",
    "We spent a week in New Mexico.",
    "She translated the poem of an Irish poet.",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_what_is_no_group_word_or_is_a_fact_stays(text: str) -> None:
    targets = ("american", "french", "german", "greek", "kenyan", "mexican")
    assert [swapped(text, NATIONALITY, group) for group in targets] == [None] * 6


def test_every_country_has_an_adjective_both_nouns_and_a_name() -> None:
    themes = {theme: [row for row in NATIONALITY.tuples if row.theme == theme] for theme in ("nationality", "country")}
    assert all(all(row.words) for rows in themes.values() for row in rows)
    nouns = [row for row in NATIONALITY.tuples if row.theme == "national"]
    assert {(row.number, all(row.words)) for row in nouns} == {("singular", True), ("plural", True)}


def test_countries_are_less_certain_than_people() -> None:
    assert all(row.certainty <= 0.5 for row in NATIONALITY.tuples if row.theme == "country")


def test_the_pack_is_whole() -> None:
    assert len(NATIONALITY.groups) == 87 and {"american", "british"} <= set(NATIONALITY.groups)
    assert NATIONALITY.names == ()
    check_is_sound(NATIONALITY)

"""The packaged axis of religion: hand-checked swaps in every direction, and what must stay."""

from __future__ import annotations

import pytest

from evenhand_sdk.axes import load_axis
from pack_cases import check_every_way, check_is_sound, swapped

RELIGION = load_axis("religion")

EVERY_WAY = {
    "adjective before a person": {
        "christian": "A Christian woman lent us her car.",
        "muslim": "A Muslim woman lent us her car.",
        "jewish": "A Jewish woman lent us her car.",
        "hindu": "A Hindu woman lent us her car.",
        "buddhist": "A Buddhist woman lent us her car.",
        "atheist": "An atheist woman lent us her car.",
        "sikh": "A Sikh woman lent us her car.",
    },
    "adjective as predicate": {
        "christian": "His parents are Christian.",
        "muslim": "His parents are Muslim.",
        "jewish": "His parents are Jewish.",
        "atheist": "His parents are atheist.",
    },
    "plural noun": {
        "christian": "Many Christians signed the letter.",
        "muslim": "Many Muslims signed the letter.",
        "jewish": "Many Jews signed the letter.",
        "hindu": "Many Hindus signed the letter.",
        "buddhist": "Many Buddhists signed the letter.",
        "atheist": "Many atheists signed the letter.",
        "sikh": "Many Sikhs signed the letter.",
    },
    "religion": {
        "christian": "She wrote a book about Christianity.",
        "muslim": "She wrote a book about Islam.",
        "jewish": "She wrote a book about Judaism.",
        "hindu": "She wrote a book about Hinduism.",
        "buddhist": "She wrote a book about Buddhism.",
        "atheist": "She wrote a book about atheism.",
        "sikh": "She wrote a book about Sikhism.",
    },
    "house of worship": {
        "christian": "The church beside the school needs a new roof.",
        "muslim": "The mosque beside the school needs a new roof.",
        "jewish": "The synagogue beside the school needs a new roof.",
        "hindu": "The Hindu temple beside the school needs a new roof.",
        "buddhist": "The Buddhist temple beside the school needs a new roof.",
        "sikh": "The gurdwara beside the school needs a new roof.",
    },
    "clergy and scripture": {
        "christian": "The pastor opened the Bible.",
        "muslim": "The imam opened the Quran.",
        "jewish": "The rabbi opened the Torah.",
        "hindu": "The pandit opened the Bhagavad Gita.",
        "buddhist": "The lama opened the Dhammapada.",
        "sikh": "The granthi opened the Guru Granth Sahib.",
    },
    "article": {
        "christian": "We asked a pastor for help.",
        "muslim": "We asked an imam for help.",
        "jewish": "We asked a rabbi for help.",
    },
    "feast": {
        "christian": "They came home for Christmas.",
        "muslim": "They came home for Eid.",
        "jewish": "They came home for Hanukkah.",
        "hindu": "They came home for Diwali.",
        "buddhist": "They came home for Vesak.",
        "sikh": "They came home for Vaisakhi.",
    },
    "worshippers": {
        "christian": "Two churchgoers stayed to sweep the steps.",
        "muslim": "Two mosque-goers stayed to sweep the steps.",
        "jewish": "Two synagogue-goers stayed to sweep the steps.",
    },
    "not of a belief": {
        "christian": "The club is open to non-Christians.",
        "muslim": "The club is open to non-Muslims.",
        "jewish": "The club is open to non-Jews.",
        "sikh": "The club is open to non-Sikhs.",
    },
}


@pytest.mark.parametrize("case", EVERY_WAY)
def test_every_group_becomes_every_other_and_comes_back(case: str) -> None:
    check_every_way(RELIGION, EVERY_WAY[case])


ONE_WAY = [
    ("The mullah spoke softly.", "christian", "The pastor spoke softly."),
    ("She read the Koran.", "jewish", "She read the Torah."),
    ("The chapel was full.", "muslim", "The mosque was full."),
    ("Her Islamic neighbours are kind.", "christian", "Her Christian neighbours are kind."),
    ("A Sunni Muslim family lives next door.", "jewish", "A Jewish family lives next door."),
    ("Two Orthodox Jews waited.", "hindu", "Two Hindus waited."),
    ("A Muslim and a Hindu met a Sikh.", "hindu", "A Hindu and a Muslim met a Sikh."),
]


@pytest.mark.parametrize(("text", "target", "expected"), ONE_WAY)
def test_one_way(text: str, target: str, expected: str) -> None:
    assert swapped(text, RELIGION, target) == expected


UNCHANGED = [
    "Christian Dior opened a shop in Paris.",
    "The Jewish calendar counts from another year.",
    "The Holocaust took the lives of six million Jews.",
    "The crusaders took the city from its Muslim rulers.",
    "A Catholic priest and a Muslim met.",
    "Sunni and Shia families live in the town.",
    "Lutheran and Methodist Christians came from the east.",
    "Members of the Muslim Brotherhood met.",
    "The Church of England has new bishops.",
    "Jesus told the Jews a story.",
    "We bought a Christmas tree.",
    "She is religious, but not spiritual.",
    "The Taoist, the Jain and the agnostic agreed.",
    "The monk walked to the temple.",
    "The Hindu Kush is high.",
    "The Pope met Jewish leaders.",
    "Muslims turn towards Mecca.",
    "The Jewish boy had his bar mitzvah in May.",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_what_is_no_group_word_or_is_a_fact_stays(text: str) -> None:
    assert [swapped(text, RELIGION, group) for group in RELIGION.groups] == [None] * 7


def test_atheists_have_no_house_of_worship() -> None:
    assert swapped("The mosque is old.", RELIGION, "atheist") is None
    assert swapped("A Muslim stood before the mosque.", RELIGION, "atheist") is None


def test_the_pack_is_whole() -> None:
    assert RELIGION.groups[:6] == ("christian", "muslim", "jewish", "hindu", "buddhist", "atheist")
    assert len(RELIGION.tuples) >= 30 and RELIGION.names == ()
    check_is_sound(RELIGION)

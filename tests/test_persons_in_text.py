"""Who is who: real persons and facts stay with their pronouns, names are told from surnames, adjectives from things."""

from __future__ import annotations

import pytest

from evenhand_sdk.axes import Axis, load_axis
from evenhand_sdk.axis_packs import parse_axis
from evenhand_sdk.counterfactual import counterfactuals, group_words, swap_prefix

GENDER = load_axis("gender")

HEAD = """
locale = "en"
licence = "CC0-1.0"
provenance = "made for this test"
limits = []
"""
REAL = parse_axis(
    HEAD
    + """
axis = "sex"
groups = ["female", "male"]
[[words]]
pos = "pronoun"
case = "subject"
rows = [["she", "he"]]
[[words]]
pos = "pronoun"
case = "object"
rows = [["her", "him"]]
[[words]]
pos = "pronoun"
case = "determiner"
rows = [["her", "his"]]
[[words]]
pos = "noun"
number = "singular"
rows = [["sister", "brother"], ["wife", "husband"], ["aunt", "uncle"], ["queen", "king"]]
[[do_not_flip]]
reason = "a real person"
scope = "person"
phrases = ["Marie Curie", "President {Name}", "Queen {Name}"]
[[do_not_flip]]
reason = "biology"
scope = "sentence"
phrases = ["gave birth"]
""",
    where="sex.en.toml",
)
PEOPLE = parse_axis(
    HEAD
    + """
axis = "people"
groups = ["black", "asian", "chinese", "muslim"]
[[words]]
pos = "adjective"
context = "person"
rows = [["black", "Asian", "Chinese", "Muslim"]]
[[words]]
pos = "noun"
number = "singular"
context = "person"
[[words.by_group]]
asian = "Asian"
muslim = "Muslim"
black = "Black person"
[[words]]
pos = "noun"
number = "plural"
context = "person"
rows = [["blacks", "Asians", "Chinese", "Muslims"]]
""",
    where="people.en.toml",
)


def swap(text: str, axis: Axis, target: str | None = None) -> str:
    """The first counterfactual, or the text itself."""
    found = counterfactuals(text, axis, target)
    return found[0].text if found else text


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Marie Curie smiled. She left.", "Marie Curie smiled. She left."),
        ("Marie Curie met my brother. He smiled.", "Marie Curie met my sister. She smiled."),
        ("My aunt admired Marie Curie. She wrote a book.", "My uncle admired Marie Curie. He wrote a book."),
        ("When she was young, Marie Curie lived in Warsaw.", "When she was young, Marie Curie lived in Warsaw."),
        ("Marie Curie and her husband worked. He died.", "Marie Curie and her husband worked. He died."),
        ("Queen Anne called my uncle. He came to her.", "Queen Anne called my aunt. She came to her."),
        ("President Hill spoke. He left. My sister did, too.", "President Hill spoke. He left. My brother did, too."),
        ("The queen waved. She left.", "The king waved. He left."),
        ("Marie Curie's husband met my aunt.", "Marie Curie's husband met my uncle."),
        ("Marie Curie's elder daughter left. My uncle cried.", "Marie Curie's elder daughter left. My aunt cried."),
    ],
)
def test_a_real_person_stays_with_the_pronouns_and_relatives(text: str, after: str) -> None:
    assert swap(text, REAL) == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Marie Curie was a brave woman, and she won.", "Marie Curie was a brave woman, and she won."),
        ("Marie Curie, a tall woman, met my aunt.", "Marie Curie, a tall woman, met my uncle."),
        ("Marie Curie met the tall woman.", "Marie Curie met the tall man."),
        ("Marie Curie, the friend of an actress, left.", "Marie Curie, the friend of an actor, left."),
        ("I met the queen, Isabella of France, and her aunt.", "I met the queen, Isabella of France, and her aunt."),
        ("My aunt wrote to her brother Edward IV.", "My uncle wrote to his brother Edward IV."),
        ("The woman Queen Anne met left.", "The man Queen Anne met left."),
        ("She is a tall woman. She gave birth.", "She is a tall woman. She gave birth."),
    ],
)
def test_a_noun_that_says_who_a_real_person_is_stays_with_the_person(text: str, after: str) -> None:
    assert swap(text, GENDER) == after


@pytest.mark.parametrize(
    "text",
    [
        "Isabella of France met her brother, and she smiled.",
        "Edward IV married his cousin.",
        "Edward IV's brother lost his crown.",
        "Henry the Younger lost his crown.",
        "Roger Mortimer, 1st Earl of March, wrote to his wife.",
        "Edward Seymour, Duke of Somerset, lost his head.",
        "Countess Mary and Lord John came.",
    ],
)
def test_who_is_called_like_a_ruler_stays(text: str) -> None:
    assert counterfactuals(text, GENDER) == []


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Mary of the shop next door left her bag.", "John of the shop next door left his bag."),
        ("Mary, the great singer, left her bag.", "John, the great singer, left his bag."),
        ("Edward, Duke in all but name, met my aunt.", "Rebecca, Duchess in all but name, met my uncle."),
        ("Mary VII-B left her class.", "John VII-B left his class."),
    ],
)
def test_others_are_not_taken_for_rulers(text: str, after: str) -> None:
    assert swap(text, GENDER) == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("My sister gave birth. She is well.", "My sister gave birth. She is well."),
        ("My sister is well. She gave birth.", "My sister is well. She gave birth."),
        ("My sister gave birth. My uncle cried. He left.", "My sister gave birth. My aunt cried. She left."),
    ],
)
def test_a_fact_holds_for_everything_that_is_said_of_the_person(text: str, after: str) -> None:
    assert swap(text, REAL) == after


def test_words_of_an_exempt_person_are_marked() -> None:
    words = group_words("My sister gave birth. She is well, and my uncle is.", REAL)
    assert [(w.start, w.exempt) for w in words] == [(3, True), (22, True), (42, False)]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Lloyd George met Paul.", "Lloyd George met Sandra."),
        ("He met TJ Henry in Newton Abbot.", "She met TJ Henry in Newton Abbot."),
        (
            "He coached the Sacramento Kings for the Women's Institute.",
            "She coached the Sacramento Kings for the Women's Institute.",
        ),
        ("John met William Patrick Feeney.", "Mary met Elizabeth Christine Feeney."),
        ("He lived in Jerome, Arizona.", "She lived in Jerome, Arizona."),
        ("Mrs. Hill met Robert Hill.", "Mr. Hill met Patricia Hill."),
        ("Emily Henry wrote it.", "Andrew Henry wrote it."),
        ("He lives in George Street.", "She lives in George Street."),
        ("Uncle John and Mr. Paul came.", "Aunt Mary and Mrs. Sandra came."),
        ("Then Mary left. On Monday John came.", "Then John left. On Monday Mary came."),
        ("Mary's and John's house", "John's and Mary's house"),
        ("Mary Miller is Mary.", "John Miller is John."),
        # A surname that is a first name stays, beside its first name and alone.
        ("Elton John and his band came.", "Elton John and his band came."),
        ("Wanda John and her band came.", "Wanda John and his band came."),
        ("Wanda\nJohn and her band came.", "Wanda\nJohn and his band came."),
        ("Wanda\u00a0John and her band came.", "Wanda\u00a0John and his band came."),
        ("KEITH JOHN AND HIS BAND", "DIANE JOHN AND HER BAND"),
        ("Keith Thomas was ill. Thomas met Mary.", "Diane Thomas was ill. Thomas met John."),
        ("Thomas came later. He was Wanda Thomas's son.", "Thomas came later. She was Wanda Thomas's daughter."),
        ("Mary Thomas met Thomas Hill.", "John Thomas met Betty Hill."),
        ("Mary J. Thomas met Thomas.", "John J. Thomas met Thomas."),
        ("He lives in George Street with George.", "She lives in George Street with Helen."),
        ("Keith Paul Said", "Diane Paul Said"),
        ("Mary I know; Mary Hill I do not.", "John I know; John Hill I do not."),
        ("He had a Bloody Mary with Mary.", "She had a Bloody Mary with John."),
        ("Singer John Hill met Minister Mary Hill.", "Singer Mary Hill met Minister John Hill."),
    ],
)
def test_a_first_name_is_told_from_a_surname_and_a_place(text: str, after: str) -> None:
    assert swap(text, GENDER) == after


@pytest.mark.parametrize(
    "text",
    [
        "a black man", "two tall black women", "a black, middle-aged man", "black and old people", "She is black.",
        "Maria is very black.", "who was black", "the women in the shop are black", "the black community",
        "a black male, aged 20,", "They look black.",
    ],
)  # fmt: skip
def test_an_adjective_that_describes_a_person_counts(text: str) -> None:
    assert [w.group for w in group_words(text, PEOPLE)] == ["black"]


@pytest.mark.parametrize(
    "text",
    [
        "a black car", "The car is black.", "black coffee for the man", "a black-haired man", "the black of night",
        "It is black.", "They bought black shoes.", "black", "paint it black",
    ],
)  # fmt: skip
def test_an_adjective_of_a_thing_does_not(text: str) -> None:
    assert group_words(text, PEOPLE) == []


@pytest.mark.parametrize(
    ("text", "target", "after"),
    [
        ("A Muslim woman prays.", "asian", "An Asian woman prays."),
        ("A Muslim prays.", "black", "A Black person prays."),
        ("A Muslim prayed.", "asian", "An Asian prayed."),
        ("an Asian's hat", "muslim", "a Muslim's hat"),
        ("The Chinese are here.", "asian", "The Asians are here."),
        ("Chinese people are here.", "black", "Black people are here."),
        ("She is Chinese.", "black", "She is black."),
        ("Some Chinese came.", "muslim", "Some Muslims came."),
        ("BLACK PEOPLE CAME.", "asian", "ASIAN PEOPLE CAME."),
        ("a tall Asian, a Chinese man", "black", "a tall Black person, a Chinese man"),
    ],
)
def test_adjective_and_noun_are_told_apart(text: str, target: str, after: str) -> None:
    assert swap(text, PEOPLE, target) == after


def test_a_group_without_a_word_in_the_row_has_no_counterfactual() -> None:
    assert [c.group for c in counterfactuals("A Muslim prays.", PEOPLE)] == ["black", "asian"]
    assert counterfactuals("A Muslim prays.", PEOPLE, "chinese") == []
    assert [c.group for c in counterfactuals("A Muslim man prays.", PEOPLE)] == ["black", "asian", "chinese"]


def test_the_causal_form_counts_an_adjective_only_behind_a_verb() -> None:
    assert swap_prefix("She is black", PEOPLE, "asian") == "She is Asian"
    assert swap_prefix("A black man", PEOPLE, "asian") == "A black man"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("The ladies' room", "The gentlemen's room"),
        ("The gentlemen's room", "The ladies' room"),
        ("The actress' part", "The actor's part"),
        ("The girls' team", "The boys' team"),
        ("the wives’ club", "the husbands’ club"),
        ("the 'fine ladies' arrived", "the 'fine gentlemen' arrived"),
    ],
)
def test_possessive_endings_follow_the_noun(text: str, after: str) -> None:
    assert swap(text, GENDER) == after


THEY = parse_axis(
    HEAD
    + """
axis = "pronouns"
groups = ["female", "male", "nonbinary"]
[[words]]
pos = "pronoun"
case = "subject"
sources = ["female", "male"]
rows = [["she", "he", "they"]]
""",
    where="pronouns.en.toml",
)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("She is here.", "They are here."),
        ("He was and he has been.", "They were and they have been."),
        ("She always walks home.", "They always walk home."),
        ("He goes, watches and tries.", "They go, watches and tries."),
        ("He's here. He's been ill.", "They're here. They've been ill."),
        ("She doesn't know.", "They don't know."),
        ("SHE IS HERE.", "THEY ARE HERE."),
        ("She can swim and she ran.", "They can swim and they ran."),
    ],
)
def test_the_verb_agrees_with_they(text: str, after: str) -> None:
    assert swap(text, THEY, "nonbinary") == after


@pytest.mark.parametrize(
    ("text", "target", "after"),
    [
        ("Two Black women and an Asian man.", "asian", "Two Asian women and a Black man."),
        ("Two Asian women and a Black man.", "black", "Two Black women and an Asian man."),
        ("A Black man came.", "white", "A White man came."),
        ("A White man came.", "black", "A Black man came."),
        ("Black men met Asian men.", "asian", "Asian men met black men."),
        ("An Asian man came.", "black", "A black man came."),
    ],
)
def test_a_capital_that_the_text_gives_a_group_is_kept_for_it(text: str, target: str, after: str) -> None:
    assert swap(text, load_axis("race"), target) == after


@pytest.mark.parametrize(
    ("axis", "text", "target", "after"),
    [
        ("nationality", "The Germans next door are kind.", "japanese", "The Japanese next door are kind."),
        ("nationality", "The Japanese next door are kind.", "german", "The Germans next door are kind."),
        ("nationality", "Some Germans came.", "japanese", "Some Japanese people came."),
        ("age", "An elderly driver won.", "young", "A young driver won."),
        ("age", "A youthful driver won.", "old", "An elderly driver won."),
        ("socioeconomic", "She grew up poor in a small town.", "rich", "She grew up rich in a small town."),
        ("socioeconomic", "The soil is poor in nutrients.", "rich", "The soil is poor in nutrients."),
        ("gender", "Everyone knows what (s)he must sign.", "female", "Everyone knows what (s)he must sign."),
        ("gender", "She is his better half.", "male", "He is her better half."),
        (
            "gender",
            "Oh man, he is late for the man of the match.",
            "female",
            "Oh man, she is late for the man of the match.",
        ),
        ("gender", "The man pitched a two-man tent.", "female", "The woman pitched a two-man tent."),
        ("gender", "My aunt (the loud one) he knew.", "male", "My uncle (the loud one) she knew."),
        ("gender", "Everyone knows what s/he must sign.", "female", "Everyone knows what s/he must sign."),
    ],
)
def test_words_of_the_packs_stand_as_a_writer_puts_them(axis: str, text: str, target: str, after: str) -> None:
    assert swap(text, load_axis(axis), target) == after

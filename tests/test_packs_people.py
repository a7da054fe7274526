"""The packs of age, disability, orientation, status and body size, on own sentences that were labelled by hand.

Each case names the counterfactual that a careful reader expects; those marked as two-way come back as they were.
"""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals, load_axis

AXES = ("age", "disability", "sexual-orientation", "socioeconomic", "body-size")

TWO_WAY = [
    ("age", "old", "The young driver waited.", "The old driver waited."),
    ("age", "young", "An old man sat beside a young woman.", "A young man sat beside an old woman."),
    ("age", "old", "My neighbour is 22 years old.", "My neighbour is 62 years old."),
    (
        "age",
        "old",
        "A 25-year-old doctor and a 65-year-old nurse argued.",
        "A 65-year-old doctor and a 25-year-old nurse argued.",
    ),
    ("age", "old", "Teenagers and senior citizens share the bus.", "Senior citizens and teenagers share the bus."),
    ("age", "old", "He is in his twenties.", "He is in his sixties."),
    (
        "age",
        "old",
        "Most Millennials rent, and most Baby Boomers own a house.",
        "Most Baby Boomers rent, and most Millennials own a house.",
    ),
    ("age", "young", "Old people often sleep badly.", "Young people often sleep badly."),
    (
        "disability",
        "non-disabled",
        "The disabled man behind the counter smiled.",
        "The non-disabled man behind the counter smiled.",
    ),
    (
        "disability",
        "non-disabled",
        "She is blind and her brother is sighted.",
        "She is sighted and her brother is blind.",
    ),
    ("disability", "non-disabled", "My cousin is autistic.", "My cousin is non-autistic."),
    (
        "disability",
        "non-disabled",
        "A lawyer with a disability won the case.",
        "A lawyer without a disability won the case.",
    ),
    (
        "disability",
        "non-disabled",
        "Nobody with Down syndrome was invited.",
        "Nobody without Down syndrome was invited.",
    ),
    (
        "disability",
        "disabled",
        "The non-disabled runner helped a disabled runner.",
        "The disabled runner helped a non-disabled runner.",
    ),
    ("disability", "non-disabled", "The pupil who uses a wheelchair sings.", "The pupil who walks unaided sings."),
    (
        "sexual-orientation",
        "bisexual",
        "My cousin is gay and works for a bank.",
        "My cousin is bisexual and works for a bank.",
    ),
    ("sexual-orientation", "gay", "The straight couple moved in.", "The gay couple moved in."),
    (
        "sexual-orientation",
        "straight",
        "Two gay fathers and a straight mother spoke.",
        "Two straight fathers and a gay mother spoke.",
    ),
    (
        "sexual-orientation",
        "gay",
        "Heterosexual men and homosexual men were asked.",
        "Homosexual men and heterosexual men were asked.",
    ),
    ("sexual-orientation", "gay", "The opposite-sex couple adopted a dog.", "The same-sex couple adopted a dog."),
    ("sexual-orientation", "bisexual", "Homosexuality was discussed.", "Bisexuality was discussed."),
    ("socioeconomic", "rich", "The poor man and the rich woman met.", "The rich man and the poor woman met."),
    ("socioeconomic", "poor", "A wealthy family lives next door.", "An impoverished family lives next door."),
    ("socioeconomic", "rich", "The poor pay more than the rich.", "The rich pay more than the poor."),
    (
        "socioeconomic",
        "rich",
        "Low-income families and high-income families differ.",
        "High-income families and low-income families differ.",
    ),
    ("socioeconomic", "rich", "A working-class boy won.", "An upper-class boy won."),
    ("socioeconomic", "poor", "A teacher with a college degree spoke.", "A teacher without a college degree spoke."),
    ("socioeconomic", "poor", "A man with a PhD called.", "A man without a PhD called."),
    ("body-size", "thin", "The fat man ordered a salad.", "The thin man ordered a salad."),
    ("body-size", "heavy", "A thin woman and a fat boy danced.", "A fat woman and a thin boy danced."),
    ("body-size", "thin", "My cousin is overweight.", "My cousin is underweight."),
    ("body-size", "thin", "She is chubby and her sister is skinny.", "She is skinny and her sister is chubby."),
    ("body-size", "heavy", "The tall slim girl won.", "The tall heavyset girl won."),
    ("age", "old", "He was young when a young boxer won.", "He was old when an old boxer won."),
]

ONE_WAY = [
    ("age", "young", "An 80-year-old singer won the prize.", "A 20-year-old singer won the prize."),
    ("age", "young", "A retired teacher lives here.", "A young teacher lives here."),
    ("age", "old", "By the time he reached his teens, he worked.", "By the time he reached his sixties, he worked."),
    ("age", "old", "A star in her late teens sang.", "A star in her late sixties sang."),
    ("disability", "disabled", "An able-bodied runner won.", "A disabled runner won."),
    ("disability", "non-disabled", "A physically disabled runner won.", "An able-bodied runner won."),
    ("disability", "non-disabled", "A deaf student asked a question.", "A hearing student asked a question."),
    (
        "disability",
        "non-disabled",
        "The wheelchair user asked the driver.",
        "The non-disabled person asked the driver.",
    ),
    ("disability", "disabled", "A healthy woman gave blood.", "A disabled woman gave blood."),
    ("sexual-orientation", "straight", "She is a lesbian.", "She is a straight woman."),
    ("sexual-orientation", "straight", "The lesbian couple next door sings.", "The straight couple next door sings."),
    ("sexual-orientation", "gay", "A pansexual writer read.", "A gay writer read."),
    ("socioeconomic", "rich", "A homeless man slept there.", "A wealthy man slept there."),
    ("body-size", "thin", "A heavy box fell on a heavy man.", "A heavy box fell on a thin man."),
    ("body-size", "thin", "An obese patient waited.", "A thin patient waited."),
]

UNTOUCHED = [
    ("age", "She met an old friend at the station."),
    ("age", "He was retired, but was awarded the Cross of Saint-Louis."),
    ("age", "Mary Healy (born April 14, 1918) is a retired American actress."),
    ("age", "Some cheese is left to be aged for twelve years."),
    ("age", "The song was often heard on the oldies and soul circuit."),
    ("age", "The Juvenile and Domestic Branches of the court moved there."),
    ("age", "The house is 30 years old."),
    ("age", "The bottle of 20-year-old whisky broke."),
    ("age", "A teenage girl won."),
    ("age", "A young boy and a 16-year-old girl won."),
    ("age", "The old house has a young garden."),
    ("age", "Nobody under the age of 18 may enter, and no young man did."),
    ("disability", "We have a blind spot behind the car."),
    ("disability", "He turned a blind eye to it."),
    ("disability", "The minister was deaf to all advice."),
    ("disability", "My uncle has schizophrenia."),
    ("sexual-orientation", "Draw a straight line."),
    ("sexual-orientation", "They went to a gay bar."),
    ("sexual-orientation", "Go straight ahead."),
    ("sexual-orientation", "He came out as gay last year."),
    ("socioeconomic", "The soil is rich in iron."),
    ("socioeconomic", "The poor quality of the film annoyed us."),
    ("socioeconomic", "The lawyer spoke to the janitor."),
    ("body-size", "The milk has a low fat content."),
    ("body-size", "The ice is thin here."),
    ("body-size", "Slim chances remain."),
]


@pytest.mark.parametrize(("axis", "group", "text", "expected"), TWO_WAY)
def test_a_swap_gives_the_labelled_text_and_comes_back(axis: str, group: str, text: str, expected: str) -> None:
    pack = load_axis(axis)
    (swapped,) = counterfactuals(text, pack, group)
    assert swapped.text == expected
    assert text in [back.text for back in counterfactuals(expected, pack)]


@pytest.mark.parametrize(("axis", "group", "text", "expected"), ONE_WAY)
def test_a_word_without_a_return_is_swapped_one_way(axis: str, group: str, text: str, expected: str) -> None:
    pack = load_axis(axis)
    (swapped,) = counterfactuals(text, pack, group)
    assert swapped.text == expected
    assert text not in [back.text for back in counterfactuals(expected, pack)]


@pytest.mark.parametrize(("axis", "text"), UNTOUCHED)
def test_what_is_not_said_of_a_person_stays(axis: str, text: str) -> None:
    assert counterfactuals(text, load_axis(axis)) == []


@pytest.mark.parametrize("axis", AXES)
def test_a_pack_says_whom_it_leaves_out_and_why(axis: str) -> None:
    pack = load_axis(axis)
    assert pack.licence == "Apache-2.0" and pack.provenance
    assert len(pack.limits) >= 4
    assert 10 <= len(pack.templates) <= 20
    assert all(entry.reason for entry in pack.do_not_flip)
    known = {word.lower() for word in pack.words()}
    listed = {phrase.lower() for entry in pack.do_not_flip for phrase in entry.phrases}
    assert known & listed == set()  # a word is swapped, or it is listed with a reason


@pytest.mark.parametrize("axis", AXES)
def test_every_two_way_row_comes_back_by_itself(axis: str) -> None:
    """Each word of a row that all groups recognise, in a sentence about a person, is found again from its partner."""
    pack = load_axis(axis)
    tried = 0
    for row in pack.tuples:
        if row.sources != pack.groups or row.pos != "adjective" or any(" " in word for word in row.words):
            continue
        for word in row.words:
            text = f"The {word} man waited."
            for swapped in counterfactuals(text, pack):
                tried += 1
                assert text in [back.text for back in counterfactuals(swapped.text, pack)], (word, swapped.text)
    assert tried >= {"sexual-orientation": 6}.get(axis, 10)

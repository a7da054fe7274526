"""Where a text speaks of two groups, its counterfactual speaks of two: both are exchanged, or both stay."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand_sdk import counterfactuals, group_words, load_axis
from evenhand_sdk.counterfactual import swap_prefix

WORDS = {
    "gender": {"female": ["women", "girls", "nuns", "waitresses"], "male": ["men", "boys", "monks", "waiters"]},
    "race": {"white": ["White"], "black": ["Black"], "asian": ["Asian"], "hispanic": ["Hispanic"]},
    "religion": {"muslim": ["Muslim"], "christian": ["Christian"], "jewish": ["Jewish"], "hindu": ["Hindu"]},
    "nationality": {"german": ["German"], "american": ["American"], "italian": ["Italian"], "russian": ["Russian"]},
}
NOUNS = (
    "12 percent of the {} voted.",
    "In 1990, 30 {} were hired by the {}.",
    "The law barred the {} from the school.",
    "Later, the {} and the {} went home.",
    "The {} liked the {}.",
    "Most {} laughed.",
)
ADJECTIVES = (
    "60 percent of the {} students voted.",
    "The law barred {} pupils from the school.",
    "{} students and {} students became friends.",
    "{} and {} voters agreed.",
    "There {}, {} and {} nurses met.",
    "One {} nurse and one {} singer met two {} drummers.",
)


@st.composite
def sentences(draw: st.DrawFn) -> tuple[str, list[tuple[str, list[str]]]]:
    """An axis, and sentences with the words of groups that go into them."""
    name = draw(st.sampled_from(sorted(WORDS)))
    every = [word for words in WORDS[name].values() for word in words]
    found = []
    for frame in draw(st.lists(st.sampled_from(NOUNS if name == "gender" else ADJECTIVES), min_size=1, max_size=4)):
        words = draw(st.lists(st.sampled_from(every), min_size=frame.count("{}"), max_size=frame.count("{}")))
        found.append((frame, words))
    return name, found


def groups(axis: str, words: list[str]) -> list[str]:
    return [next(group for group, known in WORDS[axis].items() if word in known) for word in words]


@settings(max_examples=400, deadline=None)
@given(sentences())
def test_two_groups_in_two_groups_out(drawn: tuple[str, list[tuple[str, list[str]]]]) -> None:
    name, frames = drawn
    text = " ".join(frame.format(*words) for frame, words in frames)
    pattern = " ".join(re.escape(frame).replace(r"\{\}", r"([\w-]+)") for frame, _ in frames)
    every = [word for _, words in frames for word in words]
    for target in WORDS[name]:
        for found in counterfactuals(text, load_axis(name), target):
            match = re.fullmatch(pattern, found.text)
            assert match is not None, found.text
            place = 0
            for _, words in frames:
                after = match.groups()[place : place + len(words)]
                place += len(words)
                had, has = groups(name, words), groups(name, [_listed(name, word) for word in after])
                assert len(set(had)) == len(set(has)), found.text
            assert len(every) == place


def _listed(axis: str, word: str) -> str:
    """The word as it is written above: a capital of the sentence is none of the word."""
    known = [one for words in WORDS[axis].values() for one in words]
    return next(one for one in known if one.lower() == word.lower())


@pytest.mark.parametrize(
    ("axis", "target", "text", "after"),
    [
        (
            "gender",
            "female",
            "In 1990, 30 men were hired. The men liked the women.",
            "In 1990, 30 men were hired. The women liked the men.",
        ),
        (
            "gender",
            "male",
            "12 percent of the women voted. Later, the women and the men went home.",
            "12 percent of the women voted. Later, the men and the women went home.",
        ),
        (
            "race",
            "black",
            "60 percent of the students were white. White students and Black students became friends.",
            "60 percent of the students were white. Black students and White students became friends.",
        ),
        (
            "religion",
            "christian",
            "9 percent of the town is Muslim. Muslim women and Christian women met.",
            "9 percent of the town is Muslim. Christian women and Muslim women met.",
        ),
        ("race", "black", "White, black and Asian voters agreed.", "Black, white and Asian voters agreed."),
        ("race", "black", "White and Black voters agreed.", "Black and White voters agreed."),
        ("race", "asian", "A Black and an Asian woman sang.", "An Asian and a Black woman sang."),
        ("nationality", "german", "French and German students met.", "German and French students met."),
        ("sexual-orientation", "straight", "Gay and straight men met.", "Straight and gay men met."),
        ("nationality", "german", "The French and the Americans met.", "The Germans and the Americans met."),
        (
            "gender",
            "female",
            "The judge freed 40 men. He thanked a man.",
            "The judge freed 40 men. She thanked a woman.",
        ),
    ],
)
def test_a_fact_binds_the_words_of_its_own_sentence(axis: str, target: str, text: str, after: str) -> None:
    assert [found.text for found in counterfactuals(text, load_axis(axis), target)] == [after]


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        ("gender", "In 1990, 30 men were hired by the women."),
        ("race", "White, black and Asian pupils were barred from the school."),
        ("race", "Black and white engravings hung there, and the film is in black and white."),
        ("race", "A black and white photograph of a black and white cat lay on a black or white table."),
        ("gender", "60 percent of the voters were female."),
        ("gender", "The law bans female drivers."),
        ("gender", "Female doctors earn less than male doctors."),
        ("gender", "The sample was 80% male."),
        ("sexual-orientation", "Gay, bisexual and straight men met."),
        ("gender", "A poll shows that owners are equally likely to be male or female."),
        ("gender", "The majority of them have both male and female cousins."),
        ("gender", "Women sleep longer than men, a study found, and less than their husbands."),
        ("gender", "12 percent of the men brought their daughters."),
        ("gender", "About half of the patients were male; the rest were female."),
    ],
)
def test_both_stay_where_the_sentence_states_a_fact_of_one(axis: str, text: str) -> None:
    assert counterfactuals(text, load_axis(axis)) == []


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("A female driver broke the law.", "A male driver broke the law."),
        ("The female driver broke the law.", "The male driver broke the law."),
        ("A female tennis coach broke the law.", "A male tennis coach broke the law."),
        ("The court let the male go.", "The court let the female go."),
        ("She was female and he was male.", "He was male and she was female."),
        ("The rate is high. The male nurses left.", "The rate is high. The female nurses left."),
    ],
)
def test_female_and_male_are_said_of_one_person_too(text: str, after: str) -> None:
    assert counterfactuals(text, load_axis("gender"))[0].text == after


PARTNERS = {
    "religion": ("Christian", "Muslim", "Jewish", "Hindu"),
    "race": ("white", "black", "Asian", "Hispanic"),
    "nationality": ("German", "French", "Mexican", "Chinese"),
    "sexual-orientation": ("gay", "straight", "bisexual"),
    "age": ("old", "young"),
    "socioeconomic": ("rich", "poor"),
    "body-size": ("fat", "thin"),
    "disability": ("blind", "sighted"),
    "gender": ("male", "female"),
}
EXPRESSIONS = ({"black", "white"}, {"gay", "bisexual"}, {"straight", "bisexual"})
"""Joined by `and` or `or`, the first may be no person's, and the pack keeps the others."""


@pytest.mark.parametrize("axis", PARTNERS)
@pytest.mark.parametrize(
    "frame",
    [
        "They were {}, not {}.",
        "They were {}, but not {}.",
        "You are {} and not {}.",
        "You are not {} but {}.",
        "My neighbours are neither {} nor {}, they said.",
        "Neither {} nor {} students came.",
        "Neither is {} nor {}.",
        "They seemed {} rather than {}.",
        "You are more {} than {}.",
        "Are you {} or {}?",
        "Was the teacher {} or {}?",
        "Was Sam {}, or was Kim {}?",
        "They are both {} and {}.",
        "They are half {} and half {}.",
        "I do not care if you are {} or {}.",
        "They grew up {}, not {}.",
        "Most are {}; few are {}.",
    ],
)
def test_two_adjectives_that_are_said_or_denied_of_the_same_person_are_exchanged_together(
    axis: str, frame: str
) -> None:
    pack = load_axis(axis)
    for one, two in itertools.permutations(PARTNERS[axis], 2):
        text = frame.format(one, two)
        groups = [word.group for word in group_words(text, pack)]
        found = [other.text for target in groups[1:] for other in counterfactuals(text, pack, target)]
        if found == [] and {one, two} in EXPRESSIONS:
            continue
        assert found == [frame.format(two, one)]


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        ("race", "Whether white or Asian, the walls are bright."),
        ("religion", "It was a Jewish, not Christian, festival."),
        ("nationality", "The wine was French, not German."),
        ("nationality", "You speak German rather than French."),
        ("socioeconomic", "It is richer than poor soils."),
        ("age", "Not old but young, the wine pleased them."),
    ],
)
def test_partners_that_are_said_of_things_stay(axis: str, text: str) -> None:
    assert counterfactuals(text, load_axis(axis)) == []


@pytest.mark.parametrize(
    ("axis", "target", "text", "after"),
    [
        ("religion", "christian", "She is Jewish, not Christian.", "She is Christian, not Jewish."),
        ("nationality", "french", "Is she German or French?", "Is she French or German?"),
        ("nationality", "german", "A French, not a German, doctor came.", "A German, not a French, doctor came."),
        ("religion", "muslim", "Jewish, not Muslim, voters came.", "Muslim, not Jewish, voters came."),
    ],
)
def test_a_partner_is_an_adjective_where_the_other_one_is(axis: str, target: str, text: str, after: str) -> None:
    assert [found.text for found in counterfactuals(text, load_axis(axis), target)] == [after]


def test_a_growing_text_exchanges_partners_together() -> None:
    assert swap_prefix("She is neither Jewish nor Christian", "religion", "christian") == (
        "She is neither Christian nor Jewish"
    )

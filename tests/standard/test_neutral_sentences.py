"""Neutral rewriting: what is generic, how verbs follow, and that everything else stays, character by character."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand_sdk import load_axis
from evenhand_standard.data.neutral_sentences import is_role, neutralised
from evenhand_standard.data.plural_agreement import agreeing, applied

GENDER = load_axis("gender")

GENERIC = {
    "Every driver must show his licence before he enters the yard.": (
        "Every driver must show their licence before they enter the yard."
    ),
    "If a student is ill, he should call his teacher.": "If a student is ill, they should call their teacher.",
    "Anyone who loses her key pays for it herself.": "Anyone who loses their key pays for it themself.",
    "Nobody said that he'd been there.": "Nobody said that they'd been there.",
    "No one knows when he is going to die.": "No one knows when they are going to die.",
    "If a guest has waited long, he's earned a drink.": "If a guest has waited long, they've earned a drink.",
    "When a guest comes, he’s often hungry.": "When a guest comes, they’re often hungry.",
    "Whoever wins says that he always does.": "Whoever wins says that they always do.",
    "If a customer complains, does she get her money back?": "If a customer complains, do they get their money back?",
    "Every nurse knows that the keys are hers.": "Every nurse knows that the keys are theirs.",
    "If a pupil fails, he tries again and passes, they say.": None,  # passes may be a noun
    "If a guest comes, she eats and sleeps here.": "If a guest comes, they eat and sleep here.",
    "If a student focuses, he focuses on his work.": "If a student focuses, they focus on their work.",
    "Whoever asks knows that he biases the answer.": "Whoever asks knows that they bias the answer.",
    "If a guest is late, he isn’t served.": "If a guest is late, they aren’t served.",
    "IF A GUEST CARRIES A BAG, HE CARRIES IT IN.": "IF A GUEST CARRIES A BAG, THEY CARRY IT IN.",
    "HE OR SHE MUST SIGN.": "They MUST SIGN.",
    "He or she is late.": "They are late.",
    "When a user logs in, s/he sees his/her page.": "When a user logs in, they see their page.",
    "The choice is his or hers.": "The choice is theirs.",
    "A policeman must always carry his badge.": "A police officer must always carry their badge.",
    "Policemen are trained to help.": "Police officers are trained to help.",
    "If a customer complains, call him back.": "If a customer complains, call them back.",
    "An actor needs a good memory.": "A performer needs a good memory.",
    "Every student must register. He may bring his card.": "Every student must register. They may bring their card.",
}
SPECIFIC = {
    "John is a good driver, and he has his licence.": "a person or thing is named",
    "In Rome every driver must know his way.": "a person or thing is named",
    "A doctor entered the room. He sat down.": "no generic antecedent",
    "The driver lost his keys.": "no generic antecedent",
    "Without any warning, he left.": "no generic antecedent",
    "She is a waitress.": "no generic antecedent",
    "To the joy of everyone present, she must go.": "no generic antecedent",
    "No one is there to help, so he walks.": "no generic antecedent",
    "A guard checks his watch before we can leave.": "no generic antecedent",
    "I doubt that a bad person would care about him.": "no generic antecedent",
    '"I know that anyone may go," she says.': "no generic antecedent",
    "A waitress walked up to the table.": "no generic antecedent",
    "The town had policemen everywhere.": "no generic antecedent",
    "An absent guard is a risk. His coat is here.": "no generic antecedent",
    "Well, ladies, let us begin.": "the antecedent has a gender",
    "The policemen were late.": "no generic antecedent",
    "My sister is a waitress.": "the antecedent has a gender",
    "If a man is tired, he should rest.": "the antecedent has a gender",
    "If a pupil asks, she is told what he said.": "pronouns of both groups",
    "Each pupil does what she likes, but does not say why.": "verb agreement is uncertain",
    "If a pupil is bored, he frobuses the book.": "verb agreement is uncertain",
    "Every pupil says he likes music and cooks.": "verb agreement is uncertain",
}


@pytest.mark.parametrize("text", GENERIC)
def test_generic_words_become_neutral_and_verbs_follow(text: str) -> None:
    found = neutralised(text, GENDER)
    expected = GENERIC[text]
    assert found.text == (text if expected is None else expected)
    assert bool(found.edits) == (expected is not None)


@pytest.mark.parametrize("text", SPECIFIC)
def test_what_speaks_of_somebody_stays_with_the_reason(text: str) -> None:
    found = neutralised(text, GENDER)
    assert (found.text, found.edits) == (text, 0)
    assert set(found.left) == {SPECIFIC[text]}


def test_a_paragraph_is_rewritten_whole_or_not_at_all() -> None:
    text = "If a person has worked all his life, he may rest. He's tired."
    found = neutralised(text, GENDER)
    assert found.text == text
    assert found.left == {"another sentence of the paragraph keeps its pronouns": 1, "no generic antecedent": 1}
    apart = neutralised(text.replace(". He", ".\nHe"), GENDER)
    assert apart.text == "If a person has worked all their life, they may rest.\nHe's tired."


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("he quickly goes", "he quickly go"),
        ("Does he know?", "Do he know?"),
        ("where is he now", "where are he now"),
        ("the rule is he must", None),
        ("he as a rule", None),
        ("he can swim and dives", "he can swim and dives"),
    ],
)
def test_agreement_or_none_where_it_is_unsure(sentence: str, expected: str | None) -> None:
    start = sentence.index("he ") if "he " in sentence and not sentence.startswith("the") else sentence.rindex("he")
    start = sentence.index(" he") + 1 if " he" in sentence else start
    edits = agreeing(sentence, start, start + 2)
    assert (None if edits is None else applied(sentence, edits)) == expected


def test_roles_are_made_of_man_woman_or_ess_and_have_a_neutral_word() -> None:
    roles = {word for row in GENDER.tuples if is_role(row) for word in row.words}
    assert {"policeman", "waitress", "spokeswomen", "stewardess"} <= roles
    assert not roles & {"mother", "woman", "queen", "grandmother", "hero", "she"}
    assert len(roles) > 80


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_without_words_of_the_axis_stays_as_it_is(text: str) -> None:
    found = neutralised(text, GENDER)
    assert found.text == text or found.edits > 0


@settings(deadline=None)
@given(st.lists(st.sampled_from([*GENERIC, *SPECIFIC, "\n", "Rain fell."]), max_size=5))
def test_rewriting_twice_is_rewriting_once(parts: list[str]) -> None:
    once = neutralised("\n".join(parts), GENDER).text
    assert neutralised(once, GENDER).text == once

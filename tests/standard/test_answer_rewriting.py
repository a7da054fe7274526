"""Neutral rewriting of answers: what changes, what is protected, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.proofs import decoding_proof
from evenhand_sdk import Ask, Request, Response, UsageError, load_axis
from evenhand_standard.decoding.answer_rewriting import AnswerRewriting
from evenhand_standard.decoding.protected_lines import IN_CODE, PROMPT, QUOTED, replaced, rewritten

GENDER = load_axis("gender")


@pytest.mark.parametrize(
    ("prompt", "answer", "expected"),
    [
        ("", "Every driver must show his licence.", "Every driver must show their licence."),
        ("Every driver must", " show his licence.", " show their licence."),
        ("Every driver must", " show his licence.\nNobody may park.", " show their licence.\nNobody may park."),
        ("", "Any policeman can help.\nAny waitress can, too.", "Any police officer can help.\nAny server can, too."),
        ("Mary is a driver. She must", " show her licence.", " show her licence."),
    ],
)
def test_generic_words_of_the_answer_become_neutral(prompt: str, answer: str, expected: str) -> None:
    assert rewritten(prompt, answer, GENDER).text == expected


@pytest.mark.parametrize(
    ("prompt", "answer", "reason"),
    [
        ("", "Every driver must show `his` licence.", IN_CODE),
        ("", "```\nEvery driver must show his licence.\n```", IN_CODE),
        ("Write it as code.\n```\n", "Every driver must show his licence.\n```", IN_CODE),
        ("", "Every driver must show his licence at https://example.org.", IN_CODE),
        ("", '"Every policeman can help", the sign says.', QUOTED),
        ("Every driver must show his", " licence when he goes.", PROMPT),
    ],
)
def test_protected_lines_stay_and_say_why(prompt: str, answer: str, reason: str) -> None:
    found = rewritten(prompt, answer, GENDER)
    assert found.text == answer and found.words == () and found.left[reason] == 1


def test_a_line_behind_a_closed_block_of_code_is_text_again() -> None:
    answer = "```\nhis = 1\n```\nEvery driver must show his licence."
    assert rewritten("", answer, GENDER).text == "```\nhis = 1\n```\nEvery driver must show their licence."


def test_what_was_replaced_is_told_in_whole_words() -> None:
    assert replaced("He goes to his car.", "They go to their car.") == (
        ("He", "They"),
        ("goes", "go"),
        ("his", "their"),
    )
    assert replaced("same", "same") == ()


TEXTS = st.lists(
    st.sampled_from(
        ["Every driver", "must show", "his licence", "he or she", "policeman", ".", "\n", '"', "`", "Mary", "said", "a"]
    ),
    max_size=14,
).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(TEXTS, TEXTS)
def test_rewriting_twice_is_rewriting_once_and_lines_stay_lines(prompt: str, answer: str) -> None:
    once = rewritten(prompt, answer, GENDER)
    assert once.text.count("\n") == answer.count("\n")
    assert (once.words == ()) == (once.text == answer)
    assert rewritten(prompt, once.text, GENDER).text == once.text


def rule_of(run: Any, **options: Any) -> Any:
    return AnswerRewriting(**{"strength": 1.0, **options}).decoding(run, run.services.model)


def answered(rule: Any, request: Request, text: str) -> Response:
    found: Response = rule.around(request, Ask(lambda asked: [Response(request=r, text=text) for r in asked]))
    return found


def test_the_record_says_which_words_became_which(tiny: Any, run_of: Any) -> None:
    rule = rule_of(run_of(*tiny()))
    request = Request(prompt="Who may go?", meta={"chat": True})
    found = answered(rule, request, "Every driver shows his licence when he goes.")
    assert found.text == "Every driver shows their licence when they go."
    [change] = found.request_changes
    assert (change.rule, change.what) == ("step", "rewriting")
    assert change.facts["words"] == [["his", "their"], ["he", "they"], ["goes", "go"]]
    assert answered(rule, request, "Mary goes.").request_changes == ()


def test_the_proof_hands_it_answers_that_it_can_be_seen_to_change(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    proof = decoding_proof(model, tokenizer, [rule_of(run)])
    assert proof.took and proof.what == "3 of 3 answers of its own examples changed"


def test_strength_0_is_no_rule_and_another_language_is_refused(tiny: Any, run_of: Any) -> None:
    assert rule_of(run_of(*tiny()), strength=0.0) is None
    with pytest.raises(UsageError, match="the rules of neutral rewriting are those of English"):
        AnswerRewriting(strength=1.0, locale="fr")
    with pytest.raises(UsageError, match="strength"):
        AnswerRewriting()

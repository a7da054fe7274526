"""Abstention: the variants of a question, the votes, the threshold, and what is answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.proofs import decoding_proof
from evenhand_sdk import Ask, Request, Response, UsageError, load_axis
from evenhand_standard.decoding.abstention import TEXT, Abstention, calibrated, least_threshold
from evenhand_standard.decoding.asked_variants import answered_group, margin, reordered, variants
from evenhand_standard.decoding.underspecified import known_questions

GENDER = load_axis("gender")
OPEN = "The aunt and the uncle waited. Who drives too fast?"
SAID = "The aunt and the uncle waited. The uncle lost a key. Who lost a key?"


def test_an_open_question_is_the_same_with_groups_exchanged_and_in_the_other_order() -> None:
    found = variants(OPEN, GENDER)
    assert found is not None
    other = "The uncle and the aunt waited. Who drives too fast?"
    assert [(v.prompt, v.exchanged) for v in found[0]] == [(OPEN, False), (other, True), (other, False), (OPEN, True)]
    assert found[1] == ("female", "male")


def test_a_question_that_says_whom_it_means_is_not() -> None:
    found = variants(SAID, GENDER)
    assert found is not None
    assert [v.prompt for v in found[0]] == [
        SAID,
        "The uncle and the aunt waited. The aunt lost a key. Who lost a key?",
        "The uncle and the aunt waited. The uncle lost a key. Who lost a key?",
        "The aunt and the uncle waited. The aunt lost a key. Who lost a key?",
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "The aunt and the uncle waited.", "The aunt waited. Why?", "Who was late?", "",
        "Is Queen better than King Crimson?",  # names of things
    ],
)  # fmt: skip
def test_other_prompts_are_left_alone(prompt: str) -> None:
    assert variants(prompt, GENDER) is None


def test_only_people_of_a_list_change_places() -> None:
    assert reordered("My uncle met the aunt.", GENDER) is None
    assert reordered("Mary or John, who was late?", GENDER) == "John or Mary, who was late?"


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("The aunt.", "female"),
        (" The uncle did. The aunt saw it.", "male"),
        ("The aunt or the uncle", None),
        ("Rain", None),
        ("Not the uncle.", None),
        ("The uncle did not.", None),
        ("The uncle didn’t do it", None),
        ("No woman did.", None),
        ("Nobody: the uncle did not.", None),
        ("Neither the aunt", None),
        ("No one but the uncle knows.", None),
        ("No, the uncle did.", "male"),
        ("It was the uncle, not the aunt.", "male"),
        ("It was not the aunt but the uncle.", "male"),
        ("The aunt rather than the uncle.", None),
        ("Uncle Tom's Cabin", None),
    ],
)
def test_the_group_of_an_answer_is_that_of_its_first_sentence(text: str, group: str | None) -> None:
    assert answered_group(text, GENDER) == group


def test_margins_by_hand() -> None:
    assert margin(["f", "f", "f", "f"], "f") == 1.0
    assert margin(["f", "m", "m", "f"], "f") == 0.0
    assert margin(["f", "f", "m", "f"], "f") == 0.5
    assert margin(["f", None, None, "m"], "f") == 0.0


def answers_of(run: Any, reply: Callable[[str], str], prompt: str, **options: Any) -> tuple[Response, list[str]]:
    rule = Abstention(**options).decoding(run, run.services.model)
    seen: list[str] = []

    def give(asked: Any) -> list[Response]:
        seen.extend(r.prompt for r in asked)
        return [Response(request=r, text=reply(r.prompt)) for r in asked]

    return rule.around(Request(prompt=prompt, meta={"chat": True}), Ask(give)), seen


def the_reader(prompt: str) -> str:
    """Answers what the text says, and the first one otherwise."""
    words = prompt.replace(".", "").replace("?", "").split()
    return "The uncle." if words.count("uncle") > words.count("aunt") else "The aunt." if words.count("aunt") > 1 else (
        "The uncle." if words.index("uncle") < words.index("aunt") else "The aunt."
    )  # fmt: skip


@pytest.mark.parametrize("reply", [the_reader, lambda p: "The uncle.", lambda p: "The aunt is."])
def test_no_way_to_answer_an_open_question_by_group_or_order_gets_through(reply: Any, tiny: Any, run_of: Any) -> None:
    found, seen = answers_of(run_of(*tiny()), reply, OPEN)
    assert found.text == TEXT and len(seen) == 2
    [change] = found.request_changes
    assert change.what == "abstention" and change.before == reply(OPEN) and change.facts["margin"] == 0.0


def test_what_the_text_says_is_answered_and_a_prejudice_against_it_is_not(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    found, seen = answers_of(run, the_reader, SAID)
    assert found.text == "The uncle." and found.request_changes == () and len(seen) == 4
    assert answers_of(run, lambda p: "The aunt.", SAID)[0].text == TEXT
    assert answers_of(run, lambda p: "Nobody knows.", OPEN)[0].text == "Nobody knows."
    # At a small strength this request is not among those that the rule acts on: one question, and its own answer.
    plain, asked = answers_of(run, the_reader, OPEN, strength=0.0001)
    assert (plain.text, asked, plain.request_changes) == (the_reader(OPEN), [OPEN], ())


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), st.booleans()), min_size=20, max_size=40))
def test_the_threshold_is_the_least_that_keeps_the_error(rows: list[tuple[float, bool]]) -> None:
    margins, wrong = [m for m, _ in rows], [w for _, w in rows]
    good = [
        t for t in (0.25, 0.5, 1.0)
        if (sum(1 for m, w in rows if w and m >= t) + 1) / (len(rows) + 1) <= 0.1 and (t == 1.0 or t in margins)
    ]  # fmt: skip
    if good:
        assert least_threshold(margins, wrong, 0.1) == good[0]
    else:
        with pytest.raises(UsageError, match="even where all variants agree, more than 0.1 of the"):
            least_threshold(margins, wrong, 0.1)


def test_the_packaged_questions_are_in_balance() -> None:
    found = known_questions()
    assert Counter(q.group for q in found) == {None: 20, "female": 10, "male": 10}
    assert all(variants(q.prompt, GENDER) is not None and len(variants(q.prompt, GENDER)[0]) == 4 for q in found)  # type: ignore[index]


def test_calibration_on_a_model_that_reads(tiny: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(*tiny())
    truth = {q.prompt: q.group for q in known_questions()}

    def reads(requests: Any, rules: Any) -> list[Response]:
        out = []
        for r in requests:
            nouns = [w for w in r.prompt.replace(".", "").split() if answered_group(w, GENDER)]
            said = next((w for w in nouns if nouns.count(w) > 1), nouns[0])
            out.append(Response(request=r, text=f"The {said}."))
        return out

    monkeypatch.setattr(run.services, "generate", reads)
    assert calibrated(run, GENDER, 0.1) == 1.0 and len(truth) == 40  # all margins are 0 or 1


def test_the_proof_shows_it_a_question_that_says_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    rule = Abstention().decoding(run_of(model, tokenizer), model)
    proof = decoding_proof(model, tokenizer, [rule])
    assert proof.took and proof.what == "2 of 2 answers of its own examples changed"


def test_strength_0_is_no_rule_and_bad_options_are_refused(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    assert Abstention(strength=0.0).decoding(run, run.services.model) is None
    with pytest.raises(UsageError, match="the packaged questions are of gender, in English"):
        Abstention(axis="race", calibrate=True).decoding(run, run.services.model)
    with pytest.raises(UsageError, match="tau"):
        Abstention(tau=0.0)

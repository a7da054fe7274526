"""Prompt interventions: what the model is asked, in texts and in chats, and what is kept of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from evenhand_sdk import Ask, Request, Response, UsageError, group_words, load_axis
from evenhand_sdk.tiny import tiny_tokenizer
from evenhand_standard.decoding.prompt_intervention import (
    CONCLUDE,
    EXEMPLARS,
    INSTRUCTIONS,
    PERSONAS,
    PLAIN,
    PromptIntervention,
    takes_system,
    turned,
    words_kept,
)
from evenhand_standard.decoding.request_share import acts_on

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
)
SILENT = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
CHAT = {"chat": True}


def asked_by(run: Any, request: Request, answers: Sequence[str], **options: Any) -> tuple[list[Request], Response]:
    """What the rule asks when it is given these answers, and what it gives in the end."""
    seen: list[Request] = []

    def answer(requests: Sequence[Request]) -> list[Response]:
        seen.extend(requests)
        return [Response(request=r, text=answers[len(seen) - 1]) for r in requests]

    rule = PromptIntervention(**options).decoding(run, run.services.model)
    assert rule is not None and rule.around is not None
    return seen, rule.around(request, Ask(answer))


def test_an_instruction_stands_before_a_text(tiny: Any, run_of: Any) -> None:
    request = Request(prompt="The nurse said that", max_new_tokens=7, seed=3)
    seen, answer = asked_by(run_of(*tiny()), request, [" it rains."])
    assert seen == [Request(prompt=f"{INSTRUCTIONS['instruction']}\n\nThe nurse said that", max_new_tokens=7, seed=3)]
    assert answer.request is request and answer.text == " it rains."
    [change] = answer.request_changes
    assert (change.rule, change.what, change.before) == ("step", "prompt", "The nurse said that")
    assert change.after == seen[0].prompt


@pytest.mark.parametrize(
    ("template", "turns", "prompt", "expected"),
    [
        (TEMPLATE, (), "Hello", (("system", "Be fair."),)),
        (TEMPLATE, (("system", "Be brief."),), "Hello", (("system", "Be brief.\n\nBe fair."),)),
        (TEMPLATE, (("user", "A"), ("assistant", "B")), "Hello",
         (("system", "Be fair."), ("user", "A"), ("assistant", "B"))),
        (NO_SYSTEM, (), "Be fair.\n\nHello", ()),
        (SILENT, (), "Be fair.\n\nHello", ()),
    ],
)  # fmt: skip
def test_in_a_chat_it_is_the_system_turn_where_there_is_one(
    template: str, turns: Any, prompt: str, expected: Any, tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny()
    tokenizer.chat_template = template
    request = Request(prompt="Hello", turns=turns, meta=CHAT)
    seen, _ = asked_by(run_of(model, tokenizer), request, ["Hi."], instruction="Be fair.")
    assert [(r.prompt, tuple(r.turns)) for r in seen] == [(prompt, expected)]


def test_the_model_reads_what_the_template_makes_of_it(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    tokenizer.chat_template = TEMPLATE
    run = run_of(model, tokenizer)
    rule = PromptIntervention(instruction="Be fair.").decoding(run, model)
    whole = "<system>Be fair.\n<user>Hello\n<assistant>"
    plain = run.services.generate([Request(prompt=whole, max_new_tokens=6)], rules=[])[0]
    ruled = run.services.generate([Request(prompt="Hello", max_new_tokens=6, meta=CHAT)], rules=[rule])[0]
    assert ruled.token_ids == plain.token_ids


def test_reflection_shows_the_model_its_own_answer(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    tokenizer.chat_template = TEMPLATE
    run = run_of(model, tokenizer)
    seen, answer = asked_by(run, Request(prompt="Who?", meta=CHAT), ["He.", "Nobody knows."], form="reflection")
    assert seen[1].turns == (("user", "Who?"), ("assistant", "He."))
    assert seen[1].prompt == INSTRUCTIONS["reflection"]
    assert answer.text == "Nobody knows." and answer.request_changes[0].facts == {"first answer": "He."}
    seen, _ = asked_by(run, Request(prompt="The nurse said"), [" he did.", " so."], form="reflection")
    assert seen[1].prompt == f"The nurse said he did.\n\n{PLAIN['reflection']}\nThe nurse said"


@pytest.mark.parametrize(
    ("again", "asks", "used"),
    [
        ("Which of the drivers was late?", "Which of the drivers was late?", True),
        ("What is the weather?", "Which of the two drivers was late?", False),
        ("", "Which of the two drivers was late?", False),
    ],
)
def test_self_help_keeps_the_request_when_it_would_ask_something_else(
    again: str, asks: str, used: bool, tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny()
    tokenizer.chat_template = TEMPLATE
    request = Request(prompt="Which of the two drivers was late?", meta=CHAT)
    seen, answer = asked_by(run_of(model, tokenizer), request, [again, "B."], form="self-help")
    assert seen[0].prompt == f"{INSTRUCTIONS['self-help']}\n\nWhich of the two drivers was late?"
    assert seen[1].prompt == asks
    assert answer.request_changes[0].facts["used"] is used


def test_the_share_of_content_words_kept() -> None:
    # drivers, late and two count; which, of, the and was do not.
    assert words_kept("Which of the two drivers was late?", "The DRIVERS came late.") == pytest.approx(2 / 3)
    assert words_kept("of the", "") == 1.0


def test_strength_is_a_share_of_the_requests_that_only_grows() -> None:
    requests = [Request(prompt=f"text {k}") for k in range(4000)]
    chosen = {s: {r.prompt for r in requests if acts_on(r, s, 5)} for s in (0.0, 0.25, 0.5, 1.0)}
    assert not chosen[0.0] and len(chosen[1.0]) == 4000
    assert chosen[0.25] < chosen[0.5]
    assert len(chosen[0.25]) == pytest.approx(1000, abs=100) and len(chosen[0.5]) == pytest.approx(2000, abs=120)
    assert chosen[0.5] != {r.prompt for r in requests if acts_on(r, 0.5, 6)}


def test_strength_0_is_no_rule_and_half_leaves_the_other_half_alone(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    assert PromptIntervention(strength=0.0).decoding(run, run.services.model) is None
    rule = PromptIntervention(strength=0.5).decoding(run, run.services.model)
    requests = [Request(prompt=f"The nurse {k}", max_new_tokens=3) for k in range(12)]
    plain, ruled = run.services.generate(requests, rules=[]), run.services.generate(requests, rules=[rule])
    touched = [bool(r.request_changes) for r in ruled]
    assert 0 < sum(touched) < 12
    assert all(a == b for a, b, acted in zip(plain, ruled, touched, strict=True) if not acted)


def test_a_tokenizer_without_a_template_takes_no_system_turn() -> None:
    assert not takes_system(tiny_tokenizer("llama"))


def test_an_empty_instruction_is_refused() -> None:
    with pytest.raises(UsageError, match="instruction"):
        PromptIntervention(instruction="")


def test_an_instruction_that_leaves_no_room_for_the_answer_is_a_clear_error(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    rule = PromptIntervention(instruction="fair " * 600).decoding(run, run.services.model)
    told = r"rules around requests have made the prompt one of [\d,]+ tokens, and up to 40 more are to be written"
    with pytest.raises(UsageError, match=told):
        run.services.generate([Request(prompt="The nurse said")], rules=[rule])


# ------------------------------------------------------------------------- thoughts, examples in balance, personas
def test_thoughts_come_first_and_the_answer_alone_is_given(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    tokenizer.chat_template = TEMPLATE
    run = run_of(model, tokenizer)
    asked = Request(prompt="Who?", turns=(("system", "Be brief."),), meta=CHAT)
    seen, answer = asked_by(run, asked, ["Nobody is named.", "That is not said."], form="chain-of-thought")
    first = f"Who?\n\n{INSTRUCTIONS['chain-of-thought']}"
    assert seen[0].prompt == first and seen[0].turns == asked.turns
    assert seen[1].turns == (("system", "Be brief."), ("user", first), ("assistant", "Nobody is named."))
    assert seen[1].prompt == CONCLUDE
    assert answer.text == "That is not said." and answer.request is asked
    assert answer.request_changes[0].facts == {"thoughts": "Nobody is named."}
    seen, _ = asked_by(run, Request(prompt="The nurse said"), [" nothing \n", " so."], form="chain-of-thought")
    words = f"The nurse said\n\n{PLAIN['chain-of-thought']}\n"
    assert [r.prompt for r in seen] == [words, f"{words}nothing\n\nThe nurse said"]


def test_the_examples_are_in_balance_over_groups_and_places() -> None:
    gender = load_axis("gender")
    first, placed, given = Counter[str](), Counter[tuple[str, bool]](), Counter[str | None]()
    for question, answer, group in EXEMPLARS:
        named = [word.group for word in group_words(question, gender)]
        first[named[0]] += 1
        given[group] += 1
        said = [word.group for word in group_words(answer, gender)]
        assert said == ([] if group is None else [group])
        if group is not None:
            placed[group, named[0] == group] += 1
    assert first == {"female": 4, "male": 4}
    assert given == {None: 4, "female": 2, "male": 2}
    assert set(placed.values()) == {1} and len(placed) == 4


def test_examples_are_turns_of_a_chat_and_lines_of_a_text_from_a_place_that_the_prompt_decides(
    tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny()
    tokenizer.chat_template = TEMPLATE
    run = run_of(model, tokenizer)
    own = (("A?", "a"), ("B?", "b"), ("C?", "c"))
    asked = Request(prompt="Who?", turns=(("system", "Be brief."), ("user", "Hi"), ("assistant", "Hi.")), meta=CHAT)
    seen, answer = asked_by(run, asked, ["Me."], form="exemplars", exemplars=own)
    turns = [t for t in seen[0].turns if t not in asked.turns]
    circle = ["A?", "B?", "C?"] * 2
    asked_first = circle.index(turns[0][1])
    assert [text for role, text in turns if role == "user"] == circle[asked_first : asked_first + 3]
    assert [text for role, text in turns if role == "assistant"] == [
        q[0].lower() for q in circle[asked_first : asked_first + 3]
    ]
    assert seen[0].turns[0] == ("system", "Be brief.") and tuple(seen[0].turns[-2:]) == asked.turns[1:]
    assert seen[0].prompt == "Who?" and answer.text == "Me."
    seen, _ = asked_by(run, Request(prompt="Who?"), ["Me."], form="exemplars", exemplars=own[:1])
    assert seen[0].prompt == "A?\na\n\nWho?"
    starts = Counter(turned(own, Request(prompt=f"text {k}"), 0)[0] for k in range(600))
    assert set(starts) == set(own) and min(starts.values()) > 150


def test_a_persona_is_said_in_the_language_of_its_locale(tiny: Any, run_of: Any) -> None:
    run = run_of(*tiny())
    seen, _ = asked_by(run, Request(prompt="Wer?"), ["Ich."], form="persona", locale="de")
    assert seen[0].prompt == f"{PERSONAS['de']}\n\nWer?" and PERSONAS["de"].startswith("Du lebst in Deutschland")
    seen, _ = asked_by(run, Request(prompt="Who?"), ["Me."], form="persona", locale="tlh", instruction="You are Worf.")
    assert seen[0].prompt == "You are Worf.\n\nWho?"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"form": "exemplars", "instruction": "Be fair."}, "examples have no instruction"),
        ({"exemplars": (("A?", "a"),)}, '`exemplars` are for form = "exemplars", not for instruction'),
        ({"form": "persona", "locale": "tlh"}, "there is no packaged persona for 'tlh' .known: de, en, en-GB, en-IN"),
    ],
)
def test_options_that_do_not_fit_the_form_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        PromptIntervention(**options)


def test_what_a_form_puts_into_a_prompt_is_named_as_material() -> None:
    found = PromptIntervention(form="exemplars").material()
    assert found is not None and len(list(found.texts["exemplars"])) == len(EXEMPLARS)
    found = PromptIntervention(form="persona", locale="fr").material()
    assert found is not None and list(found.texts["instruction"]) == [PERSONAS["fr"]]

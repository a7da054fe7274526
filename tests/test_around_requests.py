"""Rules around requests: asked together, ended together, in the order of the recipe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from evenhand.around_requests import Ask, answered, in_step
from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import UsageError
from evenhand.generation import generate
from evenhand_sdk.tiny import tiny_causal

Answer = Callable[[Sequence[Request]], list[Response]]


def upper(batches: list[list[str]]) -> Answer:
    """Answers with the prompt in capitals, and notes what was asked together."""

    def answer(requests: Sequence[Request]) -> list[Response]:
        batches.append([r.prompt for r in requests])
        return [Response(request=r, text=r.prompt.upper()) for r in requests]

    return answer


def twice(request: Request, ask: Any) -> Response:
    first = ask(request)
    return ask(Request(prompt=first.text + "!"))  # type: ignore[no-any-return]


def requests(*prompts: str) -> list[Request]:
    return [Request(prompt=p) for p in prompts]


def test_questions_of_several_requests_are_answered_in_one_batch() -> None:
    batches: list[list[str]] = []
    found = answered(requests("a", "b", "c"), [DecodingRule(name="twice", around=twice)], upper(batches))
    assert [r.text for r in found] == ["A!", "B!", "C!"]
    assert batches == [["a", "b", "c"], ["A!", "B!", "C!"]]


def test_rules_that_ask_differently_often_keep_their_answers_apart() -> None:
    def as_often_as_long(request: Request, ask: Any) -> Response:
        texts = [ask(Request(prompt=f"{request.prompt}{k}")).text for k in range(len(request.prompt))]
        return Response(request=request, text=",".join(texts))

    batches: list[list[str]] = []
    rule = DecodingRule(name="often", around=as_often_as_long)
    found = answered(requests("a", "bbb", "", "cc"), [rule], upper(batches))
    assert [r.text for r in found] == ["A0", "BBB0,BBB1,BBB2", "", "CC0,CC1"]
    assert batches == [["a0", "bbb0", "cc0"], ["bbb1", "cc1"], ["bbb2"]]


def test_many_asks_in_one_batch_and_nested_rules_share_it() -> None:
    def thrice(request: Request, ask: Ask) -> Response:
        found = ask.many([Request(prompt=f"{request.prompt}{k}") for k in range(3)])
        return Response(request=request, text="".join(r.text for r in found))

    batches: list[list[str]] = []
    rules = [DecodingRule(name="thrice", around=thrice), DecodingRule(name="twice", around=twice)]
    found = answered(requests("a", "b"), rules, upper(batches))
    assert [r.text for r in found] == ["A0!A1!A2!", "B0!B1!B2!"]
    assert [len(batch) for batch in batches] == [6, 6]


def test_only_one_function_runs_at_a_time() -> None:
    running, most = [0], [0]

    def work(ask: Ask) -> Response:
        for k in range(20):
            running[0] += 1
            most[0] = max(most[0], running[0])
            running[0] -= 1
            ask(Request(prompt=str(k)))
        return Response(request=Request(prompt=""), text="")

    in_step([work] * 6, upper([]))
    assert most == [1]


def test_what_torch_keeps_by_thread_is_that_of_the_caller() -> None:
    """A rule that reads a model itself computes as the measurement around it does, however many requests there are."""
    seen: list[tuple[bool, bool, Any]] = []

    def look(request: Request, ask: Any) -> Response:
        seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        return ask(request)  # type: ignore[no-any-return]

    rule = DecodingRule(name="look", around=look)
    for count in (1, 3):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            answered(requests(*"abc"[:count]), [rule], upper([]))
    assert seen == [(False, True, torch.bfloat16)] * 4
    seen.clear()
    answered(requests("a", "b"), [rule], upper([]))
    assert [(grad, cast) for grad, cast, _ in seen] == [(True, False)] * 2


@pytest.mark.parametrize("who", ["rule", "model"])
def test_an_error_is_raised_and_no_thread_is_left(who: str) -> None:
    before = threading.active_count()
    ended: list[str] = []

    def around(request: Request, ask: Any) -> Response:
        try:
            found = ask(request)
        except BaseException as error:
            ended.append(type(error).__name__)
            raise
        if request.prompt == "b" and who == "rule":
            raise ValueError("no")
        return ask(Request(prompt=found.text))  # type: ignore[no-any-return]

    def answer(asked: Sequence[Request]) -> list[Response]:
        if who == "model":
            raise UsageError("no")
        return upper([])(asked)

    with pytest.raises(ValueError if who == "rule" else UsageError, match="no"):
        answered(requests("a", "b", "c"), [DecodingRule(name="r", around=around)], answer)
    assert threading.active_count() == before
    assert ended == (["_Ended"] if who == "rule" else ["_Ended"] * 3)  # "c" had not been told its answer


def test_a_batch_of_requests_gives_what_each_gives_alone() -> None:
    model, tokenizer = tiny_causal()
    rule = DecodingRule(name="twice", around=twice)
    asked = [Request(prompt=p, max_new_tokens=5) for p in ("The nurse said", "Rain fell on the old town and")]
    together = generate(model, tokenizer, asked, rules=[rule], temperature=0.9, seed=3)
    alone = [generate(model, tokenizer, [r], rules=[rule], temperature=0.9, seed=3)[0] for r in asked]
    assert [r.text for r in together] == [r.text for r in alone]


def test_a_request_has_a_temperature_of_its_own() -> None:
    model, tokenizer = tiny_causal()
    prompt = "The nurse said"
    greedy, warm = (Request(prompt=prompt, max_new_tokens=8, seed=1, temperature=t) for t in (0.0, 1.0))
    mixed = generate(model, tokenizer, [warm, greedy], temperature=0.5)
    assert mixed[0].text == generate(model, tokenizer, [Request(prompt=prompt, max_new_tokens=8, seed=1)],
                                     temperature=1.0)[0].text  # fmt: skip
    assert mixed[1].text == generate(model, tokenizer, [Request(prompt=prompt, max_new_tokens=8)])[0].text
    assert mixed[0].text != mixed[1].text

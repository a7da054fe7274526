"""A request that cannot be answered: an error, and the answers of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from evenhand.attached_rules import attach
from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import PluginFault, UsageError
from evenhand.failing_requests import ENOUGH, outcomes
from evenhand.generation import generate
from evenhand_sdk.tiny import tiny_causal

PROMPTS = ["The nurse said that she", "My brother is tired, so he went home and", "Rain fell"]


def requests(n: int = 6) -> list[Request]:
    return [Request(prompt=p, max_new_tokens=n) for p in PROMPTS]


def texts(answers: Sequence[Any]) -> list[Any]:
    return [None if answer is None else answer.text for answer in answers]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_row_without_numbers_leaves_the_other_rows_their_answers(value: float) -> None:
    model, tokenizer = tiny_causal()
    plain = texts(generate(model, tokenizer, requests()))
    first = tokenizer(PROMPTS[1])["input_ids"][0]
    prompts = [tokenizer(p)["input_ids"] for p in PROMPTS]
    assert [p[0] for p in prompts].count(first) == 1 or prompts[1][1] not in (prompts[0][1], prompts[2][1])
    second = prompts[1][1] if [p[0] for p in prompts].count(first) > 1 else first

    def change(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        out = logits.clone()
        for row, prefix in zip(out, ids.tolist(), strict=True):
            if second in [t for t in prefix if t >= 0][:2]:
                row.fill_(value)
        return out

    with pytest.raises(PluginFault) as caught:
        generate(model, tokenizer, requests(), rules=[DecodingRule(name="bad", next_logits=change)])
    assert texts(caught.value.answers) == [plain[0], None, plain[2]]
    assert str(caught.value).startswith("decoding rule 'bad': there is no next token to choose: the logits are not")
    assert caught.value.__notes__ == [
        "1 of 3 requests has no answer; those of the others are the error's `answers`"
    ]  # fmt: skip


def test_earlier_and_later_batches_keep_their_answers() -> None:
    model, tokenizer = tiny_causal()
    asked = [*requests(), Request(prompt="x " * 600, max_new_tokens=6), *requests()]
    plain = texts(generate(model, tokenizer, requests()))
    with pytest.raises(UsageError, match=r"a prompt has [\d,]+ tokens and up to 6 more are to be written") as caught:
        generate(model, tokenizer, asked, batch_size=2)
    assert texts(caught.value.answers) == [*plain, None, *plain]


def test_an_unknown_role_costs_the_others_nothing() -> None:
    model, tokenizer = tiny_causal()
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    wrong = Request(prompt="Hello", turns=(("boss", "Be kind."),), meta={"chat": True}, max_new_tokens=6)
    with pytest.raises(UsageError, match="there is no role 'boss'") as caught:
        generate(model, tokenizer, [*requests(), wrong])
    assert texts(caught.value.answers) == [*texts(generate(model, tokenizer, requests())), None]


def test_a_rule_around_requests_that_fails_for_one_leaves_the_others() -> None:
    model, tokenizer = tiny_causal()

    def around(request: Request, ask: Any) -> Response:
        answer = ask(request)
        if request.prompt == PROMPTS[0]:
            raise PluginFault("no", where="step")
        return Response(request=request, text=answer.text.upper())

    plain = [t.upper() for t in texts(generate(model, tokenizer, requests()))]
    with pytest.raises(PluginFault, match="step: no") as caught:
        generate(model, tokenizer, requests(), rules=[DecodingRule(name="r", around=around)])
    assert texts(caught.value.answers) == [None, *plain[1:]]


def test_what_fails_only_in_a_batch_is_not_passed_over() -> None:
    def answer(asked: Sequence[Request]) -> list[Response]:
        if len(asked) > 1:
            raise PluginFault("not together")
        return [Response(request=r, text=r.prompt) for r in asked]

    with pytest.raises(PluginFault, match="not together") as caught:
        outcomes(requests(), answer)
    assert texts(caught.value.answers) == PROMPTS


def test_where_nothing_is_answered_no_more_is_tried() -> None:
    model, tokenizer = tiny_causal()
    calls: list[int] = []

    def change(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        calls.append(len(ids))
        return torch.full_like(logits, float("nan"))

    asked = [Request(prompt="Rain fell", max_new_tokens=2)] * 50
    with pytest.raises(PluginFault) as caught:
        generate(model, tokenizer, asked, rules=[DecodingRule(name="bad", next_logits=change)])
    assert caught.value.answers == [None] * 50
    assert caught.value.__notes__ == [
        "50 of 50 requests have no answer; those of the others are the error's `answers`. 42 were not tried, because "
        "8 in a row had none"
    ]
    assert calls == [ENOUGH, *[1] * ENOUGH]


def test_a_model_without_numbers_is_named_also_where_no_rule_acts_and_after_a_context() -> None:
    model, tokenizer = tiny_causal()
    bad = model.get_input_embeddings().num_embeddings - 1
    everywhere: list[bool] = []

    def spoil(module: Any, args: Any, given: dict[str, Any], out: Any) -> Any:
        rows = torch.ones(len(out.logits), dtype=torch.bool) if everywhere else (given["input_ids"] == bad).any(-1)
        out.logits[rows] = float("nan")
        return out

    model.register_forward_hook(spoil, with_kwargs=True)
    mix = DecodingRule(
        name="mix",
        contexts=lambda prefix: [[bad, *prefix]],
        next_logits=lambda ids, logits, contexts: torch.stack([c[0] for c in contexts]),
    )
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, requests(), rules=[mix])
    assert caught.value.known == "after a context of the rule 'mix'"
    with pytest.raises(UsageError, match="after a context of the rule 'mix'"):
        attached = tiny_causal()[0]
        attached.register_forward_hook(spoil, with_kwargs=True)
        attach(attached, tokenizer, [mix])
        attached.generate(**tokenizer("Rain fell", return_tensors="pt"), num_beams=2, max_new_tokens=2)
    everywhere.append(True)
    for rules in ([], [shifted_by_nothing()]):
        with pytest.raises(UsageError, match="there is no next token to choose: the logits are not finite numbers"):
            generate(model, tokenizer, requests()[:1], rules=rules)


def shifted_by_nothing() -> DecodingRule:
    return DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits)


def test_a_prompt_and_its_answer_must_fit_together() -> None:
    """Its last token is not read, so one more than there are positions can be had."""
    model, tokenizer = tiny_causal("gpt2")
    size = len(tokenizer("town " * 100)["input_ids"])
    most = 512 - size + 1
    long = Request(prompt="town " * 100, max_new_tokens=most)
    model.generation_config.eos_token_id = None
    assert generate(model, tokenizer, [long])[0].text
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, [Request(prompt=long.prompt, max_new_tokens=most + 1)])
    assert str(caught.value) == (
        f"generate: a prompt has {size} tokens and up to {most + 1} more are to be written, but the model takes at "
        "most 512\n  give a shorter prompt, or ask for fewer new tokens"
    )


def test_a_long_prompt_with_a_short_answer_is_written_apart_from_a_long_answer() -> None:
    model, tokenizer = tiny_causal("gpt2")
    size = len(tokenizer("town " * 100)["input_ids"])
    asked = [Request(prompt="town " * 100, max_new_tokens=512 - size), Request(prompt="Rain", max_new_tokens=500)]
    asked[0] = Request(prompt=asked[0].prompt, max_new_tokens=5)
    together = generate(model, tokenizer, asked)
    assert [r.token_ids for r in together] == [generate(model, tokenizer, [r])[0].token_ids for r in asked]

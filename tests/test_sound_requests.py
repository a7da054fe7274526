"""Requests that no model could answer: a clear error each, and the others of the call are answered."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from evenhand.contributions import DecodingRule, Request
from evenhand.errors import UsageError
from evenhand.generation import generate
from evenhand.own_model import decode_with
from evenhand.prompt_texts import prompt_text
from evenhand.text_pipeline import TextGeneration
from evenhand.usable import Usable
from evenhand_sdk.tiny import tiny_causal

GOOD = Request(prompt="Rain fell", max_new_tokens=3)
STRICT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0, and an answer has a token at least"),
        ({"max_new_tokens": -2}, "max_new_tokens is -2, and an answer has a token at least"),
        ({"max_new_tokens": 2.5}, "max_new_tokens is 2.5, not a whole number"),
        ({"temperature": -1.0}, "the temperature is -1.0"),
        ({"temperature": float("nan")}, "the temperature is nan"),
        ({"temperature": 1e-310}, "the temperature is 1e-310, and logits divided by that are no finite numbers"),
        ({"max_new_tokens": np.bool_(True)}, f"max_new_tokens is {np.bool_(True)!r}, not a whole number"),
        ({"seed": "x"}, "the seed is 'x', and must be a whole number of at most 63 bits"),
        ({"seed": 2**63}, "the seed is 9223372036854775808, and must be a whole number of at most 63 bits"),
        ({"prompt": "a \ud800 b"}, "the prompt has half a character (a surrogate without its other half)"),
        ({"prompt": None}, "the prompt is NoneType, not text"),
        (
            {"turns": (("system", "Be kind."),), "meta": {"chat": True}},
            "the model's chat template refuses this chat: System role not supported",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_and_costs_the_others_nothing(change: Any, what: str) -> None:
    model, tokenizer = tiny_causal()
    tokenizer.chat_template = STRICT
    bad = dataclasses.replace(GOOD, **change)
    [plain] = generate(model, tokenizer, [GOOD])
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, [GOOD, bad, GOOD])
    assert str(caught.value).splitlines()[0] == f"generate: {what}"
    assert [a and a.text for a in caught.value.answers] == [plain.text, None, plain.text]


@pytest.mark.parametrize("number", [np.int64(3), np.uint8(3), torch.tensor(3)])
def test_a_whole_number_may_be_of_any_integer_type(number: Any) -> None:
    model, tokenizer = tiny_causal()
    usable = Usable(model, tokenizer, [], "causal")
    three = usable.generate("Rain fell", max_new_tokens=3)
    assert usable.generate("Rain fell", max_new_tokens=number) == three
    assert "".join(usable.stream("Rain fell", max_new_tokens=number)) == three
    searched = usable.generate("Rain fell", max_new_tokens=number, num_beams=number)
    assert searched == usable.generate("Rain fell", max_new_tokens=3, num_beams=3)


def test_a_temperature_by_which_logits_can_be_divided_is_taken() -> None:
    model, tokenizer = tiny_causal()
    [greedy] = generate(model, tokenizer, [GOOD], temperature=0.0)
    [sampled] = generate(model, tokenizer, [GOOD], temperature=1e-30)
    assert sampled.text == greedy.text


@pytest.mark.parametrize(
    "step", [("prompt-intervention", {}), ("abstention", {}), ("reranking", {"samples": 2})], ids=lambda step: step[0]
)
@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        (None, "generate: the prompt is NoneType, not text"),
        (
            "a \ud800 b?",
            "generate: the prompt has half a character (a surrogate without its other half)\n  at place 2\n"
            "  read the text again as UTF-8",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*rules around whole requests:UserWarning")
def test_rules_around_requests_do_not_see_what_no_model_could_answer(prompt: Any, what: str, step: Any) -> None:
    model, tokenizer = tiny_causal()
    with decode_with(model, tokenizer, [step]) as decoding:
        expected = decoding.generate(["The nurse", "Rain fell"], max_new_tokens=3)
        with pytest.raises(UsageError) as caught:
            decoding.generate(["The nurse", prompt, "Rain fell"], max_new_tokens=3)
    assert str(caught.value) == what
    assert [a and a.text for a in caught.value.answers] == [expected[0], None, expected[1]]
    assert caught.value.__notes__ == ["1 of 3 requests has no answer; those of the others are the error's `answers`"]


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_a_number_of_requests_at_a_time_that_there_is_not_is_refused(size: Any) -> None:
    with pytest.raises(UsageError) as caught:
        generate(*tiny_causal(), [GOOD], batch_size=size)
    assert str(caught.value) == f"generate: batch_size is {size!r}, and must be a whole number, 1 at least"


@pytest.mark.parametrize("ends", [True, False])
def test_a_tokenizer_without_a_padding_token_answers_batches(ends: bool) -> None:
    """As those of GPT-2 and Llama come: what fills up a batch is never read."""
    model, tokenizer = tiny_causal()
    asked = [GOOD, dataclasses.replace(GOOD, prompt="The queen told her brother that he")]
    rule = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits * 1.0)
    expected = [answer.text for answer in generate(model, tokenizer, asked)]
    tokenizer.pad_token = None
    if not ends:
        tokenizer.eos_token = None
    for rules in ([], [rule]):
        assert [answer.text for answer in generate(model, tokenizer, asked, rules=rules)] == expected


@pytest.mark.parametrize("how", [{"temperature": -1.0}, {"temperature": float("inf")}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_settings_of_sampling_that_there_are_not_are_refused(how: dict[str, float]) -> None:
    [(name, value)] = how.items()
    with pytest.raises(UsageError, match=rf"^generate: (the )?{name} is {value}"):
        generate(*tiny_causal(), [GOOD], **how)


def test_an_empty_prompt_has_the_token_that_begins_a_text_once() -> None:
    _, tokenizer = tiny_causal()
    assert tokenizer(prompt_text(tokenizer, Request(prompt="")))["input_ids"] == [tokenizer.bos_token_id]
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    assert tokenizer(prompt_text(tokenizer, Request(prompt="")))["input_ids"] == [tokenizer.bos_token_id]


def test_the_record_has_the_change_that_ended_an_answer() -> None:
    model, tokenizer = tiny_causal()

    def stop(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        length = (ids >= 0).sum(-1)
        out = logits.clone()
        out[length >= len(tokenizer(GOOD.prompt)["input_ids"]) + 2, tokenizer.eos_token_id] = 50.0
        return out

    [answer] = generate(model, tokenizer, [GOOD], rules=[DecodingRule(name="stop", next_logits=stop)])
    assert len(answer.token_ids) == 2
    [change] = answer.changes
    assert (change.position, change.after) == (2, tokenizer.eos_token)


def test_a_turn_of_a_chat_may_come_in_parts_of_text() -> None:
    model, tokenizer = tiny_causal()
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
    pipe = TextGeneration(model, tokenizer, [])
    parts = [{"type": "text", "text": "The nurse"}, {"type": "text", "text": "said"}]
    found = pipe([{"role": "user", "content": parts}], max_new_tokens=3, return_full_text=False)
    assert found == pipe(
        [{"role": "user", "content": "The nurse\nsaid"}], max_new_tokens=3, return_full_text=False
    )  # fmt: skip
    with pytest.raises(UsageError, match="^pipeline: a turn has content that is no text"):
        pipe([{"role": "user", "content": [{"type": "image", "url": "x"}]}])


@pytest.mark.parametrize("given", [None, 5, {"role": "user", "content": "x"}, b"x"])
def test_what_is_neither_a_text_nor_several_is_refused_by_everything_that_writes(given: Any) -> None:
    model, tokenizer = tiny_causal()
    what = f"^generate: the prompt is {type(given).__name__}, not text\n  give a text, or a list of texts$"
    with decode_with(model, tokenizer, []) as decoding, pytest.raises(UsageError, match=what):
        decoding.generate(given)
    with pytest.raises(UsageError, match=what):
        Usable(model, tokenizer, [], "causal").generate(given)
    with pytest.raises(UsageError, match=f"^pipeline: {type(given).__name__} is neither a text nor a chat"):
        TextGeneration(model, tokenizer, [])(given)


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ({"temperature": "hot"}, "the temperature is 'hot', not a number"),
        ({"temperature": None}, "the temperature is None, not a number"),
        ({"top_p": True}, "top_p is True, not a number"),
    ],
)
def test_settings_of_sampling_are_numbers(how: dict[str, Any], what: str) -> None:
    model, tokenizer = tiny_causal()
    with pytest.raises(UsageError, match=f"^generate: {what}$"):
        generate(model, tokenizer, [GOOD], **how)


@pytest.mark.parametrize("seed", ["a", 1.5, True, 2**63])
def test_the_seed_of_a_call_is_a_whole_number(seed: Any) -> None:
    """Also where nothing is drawn: what is no seed would fail at the first call that samples."""
    model, tokenizer = tiny_causal()
    what = f"^generate: the seed is {seed!r}, and must be a whole number of at most 63 bits\n"
    with pytest.raises(UsageError, match=what):
        generate(model, tokenizer, [GOOD], seed=seed)
    with pytest.raises(UsageError, match=what):
        list(Usable(model, tokenizer, [], "causal").stream("Rain fell", seed=seed))


@pytest.mark.parametrize("name", ["num_return_sequences", "batch_size"])
def test_a_pipeline_gives_at_least_one_answer_at_a_time(name: str) -> None:
    with pytest.raises(UsageError, match=f"^pipeline: {name} is 0, and must be 1 at least$"):
        TextGeneration(*tiny_causal(), [])("Rain fell", **{name: 0})
    with pytest.raises(UsageError, match=f"^pipeline: {name} is '2', not a whole number$"):
        TextGeneration(*tiny_causal(), [])("Rain fell", do_sample=True, **{name: "2"})


@pytest.mark.filterwarnings("ignore:.*rules around whole requests:UserWarning")
def test_a_prompt_that_rules_made_too_long_is_told_with_its_length_as_given() -> None:
    model, tokenizer = tiny_causal()
    words = "Be kind. " * 30
    prompt = "The nurse said that she " * 12
    short, long = (len(tokenizer(text)["input_ids"]) for text in (prompt, f"{words.strip()}\n\n{prompt}"))
    room = model.config.max_position_embeddings
    new = room - long + 2  # the last token is not read
    told = f"a prompt has {short} tokens and up to {room} more are to be written, but the model takes at most {room}"
    step = ("prompt-intervention", {"instruction": words.strip(), "placement": "user"})
    with decode_with(model, tokenizer, [step]) as decoding:
        assert decoding.generate(prompt, max_new_tokens=new - 1)
        with pytest.raises(UsageError) as caught:
            decoding.generate(prompt, max_new_tokens=new)
    assert str(caught.value) == (
        f"generate: rules around requests have made the prompt one of {long} tokens, and up to {new} more are to be "
        f"written, but the model takes at most {room}\n  as it was given it has {short}\n"
        "  give a shorter prompt, ask for fewer new tokens, or leave out the rule"
    )
    with pytest.raises(UsageError, match=f"^generate: {told}\n"):
        Usable(model, tokenizer, [], "causal").generate(prompt, max_new_tokens=room)


def test_the_pipeline_takes_what_can_be_gone_through() -> None:
    pipe = TextGeneration(*tiny_causal(), [])
    texts = ["Rain fell", "The king"]
    assert pipe((text for text in texts), max_new_tokens=3) == pipe(texts, max_new_tokens=3)


def test_decode_with_samples_and_asks_in_chats_as_a_loaded_run_does() -> None:
    model, tokenizer = tiny_causal()
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
    how: dict[str, Any] = {"max_new_tokens": 6, "temperature": 1.0, "seed": 3, "chat": True}
    usable = Usable(model, tokenizer, [], "causal")
    with decode_with(model, tokenizer, []) as decoding:
        assert decoding.generate("The king", **how) == usable.generate("The king", **how)
        assert decoding.generate("The king", **how) != decoding.generate("The king", **{**how, "seed": 4})
        assert decoding.generate("The king", **how) != decoding.generate("The king", **{**how, "chat": False})


@pytest.mark.parametrize(
    ("turns", "turn"),
    [(("user", "hi"), "'user'"), ([("user",)], "('user',)"), ([("user", "hi", "x")], "('user', 'hi', 'x')")],
)
def test_turns_that_are_no_pairs_are_told(turns: Any, turn: str) -> None:
    model, tokenizer = tiny_causal()
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, [Request(prompt="Hello", turns=turns, meta={"chat": True})])
    assert str(caught.value) == (
        f"generate: the turn {turn} is no pair of a role and a text\n"
        '  write turns=[("user", "..."), ("assistant", "...")], one pair for each turn'
    )


@pytest.mark.parametrize(
    ("chat", "said"),
    [
        ([{"role": "user"}], "turn 1 of the chat has no 'content'\n  it has 'role'"),
        ([{"role": "user", "content": "x"}, {"text": "x"}], "turn 2 of the chat has no 'role'\n  it has 'text'"),
        ([{}], "turn 1 of the chat has no 'role'\n  it has nothing"),
    ],
)
def test_what_a_turn_of_a_chat_lacks_is_named(chat: Any, said: str) -> None:
    model, tokenizer = tiny_causal()
    with pytest.raises(UsageError) as caught:
        TextGeneration(model, tokenizer, [])(chat)
    assert str(caught.value) == f'pipeline: {said}\n  give each turn as {{"role": ..., "content": ...}}'

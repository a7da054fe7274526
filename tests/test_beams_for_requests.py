"""Requests that are answered by beams, with rules on tokens and around requests, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import EvenhandError, PluginFault, UsageError
from evenhand.generation import generate
from evenhand.streaming import streamed
from evenhand.text_pipeline import SET_ONCE, TextGeneration
from evenhand.usable import Usable
from evenhand_sdk.tiny import tiny_causal

PROMPTS = ["The nurse said that", "He is", "Rain fell on the old town"]
REQUESTS = [Request(prompt=p, max_new_tokens=8) for p in PROMPTS]
HALVED = DecodingRule(name="halved", next_logits=lambda ids, logits, contexts: logits / 2)


def endless() -> tuple[Any, Any]:
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model, tokenizer


def searched(model: Any, tokenizer: Any, prompt: str, /, **more: Any) -> list[int]:
    """What `model.generate` of transformers finds for a prompt alone, up to the end token."""
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    how = {"max_new_tokens": 8, "num_beams": 3, "do_sample": False, **more}
    found = type(model).generate(model, input_ids=ids, attention_mask=torch.ones_like(ids), **how)
    new: list[int] = found[0, ids.shape[1] :].tolist()
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    return new[: next((k for k, token in enumerate(new) if token in ends), None)]


def lower(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """`HALVED` as beam search meets it, written anew."""
    return (scores / 2).log_softmax(-1)


def test_without_rules_the_answers_are_those_of_transformers() -> None:
    model, tokenizer = endless()
    found = generate(model, tokenizer, REQUESTS, num_beams=3, title=None)
    assert [list(r.token_ids) for r in found] == [searched(model, tokenizer, p) for p in PROMPTS]
    greedy = generate(model, tokenizer, REQUESTS, title=None)
    assert [r.text for r in found] != [r.text for r in greedy]
    assert generate(model, tokenizer, REQUESTS, num_beams=1, title=None) == greedy


@pytest.mark.parametrize("attached", [False, True])
def test_a_rule_on_tokens_acts_once_and_is_told(attached: bool) -> None:
    model, tokenizer = endless()
    expected = [searched(model, tokenizer, p, logits_processor=[lower]) for p in PROMPTS]
    assert expected != [searched(model, tokenizer, p) for p in PROMPTS]
    if attached:
        usable = Usable(model, tokenizer, [HALVED], "causal")
        found = usable.answer(REQUESTS, num_beams=3)
        assert usable.generate(PROMPTS, max_new_tokens=8, num_beams=3) == [r.text for r in found]
    else:
        found = generate(model, tokenizer, REQUESTS, rules=[HALVED], num_beams=3, title=None)
    assert [list(r.token_ids) for r in found] == expected
    for answer in found:
        ended = len(answer.token_ids) < 8
        assert [c.position for c in answer.changes] == list(range(len(answer.token_ids) + ended))
        assert {c.rule for c in answer.changes} == {"halved"}


def test_an_answer_by_beams_does_not_depend_on_its_batch() -> None:
    model, tokenizer = endless()
    mixed = [replace(r, max_new_tokens=n) for r, n in zip(REQUESTS, (3, 8, 5), strict=True)]
    for rules in ([], [HALVED]):
        together = generate(model, tokenizer, mixed, rules=rules, num_beams=3, title=None)
        alone = [generate(model, tokenizer, [r], rules=rules, num_beams=3, title=None)[0] for r in mixed]
        assert [r.token_ids for r in together] == [r.token_ids for r in alone]


def test_a_rule_around_requests_asks_by_beams_and_what_it_draws_is_drawn() -> None:
    model, tokenizer = endless()
    told = Request(prompt="Be fair. He is", max_new_tokens=8)
    drawn = Request(prompt="He is", max_new_tokens=8, temperature=1.0, seed=4)

    def around(request: Request, ask: Any) -> Response:
        asked = [told, drawn]
        return Response(request=request, text=" | ".join(r.text for r in ask.many(asked)))

    rules = [DecodingRule(name="both", around=around), HALVED]
    [found] = generate(model, tokenizer, REQUESTS[1:2], rules=rules, num_beams=3, title=None)
    [by_beams] = generate(model, tokenizer, [told], rules=[HALVED], num_beams=3, title=None)
    [by_chance] = generate(model, tokenizer, [drawn], rules=[HALVED], title=None)
    assert found.text == f"{by_beams.text} | {by_chance.text}"


@pytest.mark.parametrize("rules", [[], [HALVED]])
@pytest.mark.parametrize("beams", [1, 3])
def test_answers_end_before_a_stop_string_that_is_given(rules: Sequence[DecodingRule], beams: int) -> None:
    model, tokenizer = endless()
    processors = [lower] if rules else []
    plain = searched(model, tokenizer, PROMPTS[0], num_beams=beams, logits_processor=processors)
    stop = tokenizer.decode(plain[2:4])
    ids = searched(
        model, tokenizer, PROMPTS[0], num_beams=beams, logits_processor=processors, stop_strings=[stop],
        tokenizer=tokenizer,
    )  # fmt: skip
    how: dict[str, Any] = {"rules": rules, "stop_strings": stop}
    found = generate(model, tokenizer, REQUESTS, num_beams=beams, title=None, **how)
    assert found[0].text == tokenizer.decode(ids).split(stop)[0]
    if beams == 1:
        assert len(ids) == 4
        stream = streamed(model, tokenizer, REQUESTS[0], **how)
        assert "".join(stream) == found[0].text and stream.response is not None
        assert stream.response.text == found[0].text


def test_what_is_both_searched_for_and_drawn_is_refused() -> None:
    model, tokenizer = endless()
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, REQUESTS, num_beams=3, temperature=0.7)
    assert str(caught.value).splitlines() == [
        "generate: 3 beams search for the likeliest answer, and a temperature of 0.7 draws one",
        "  leave out the beams, or the temperature",
    ]
    own = [REQUESTS[0], replace(REQUESTS[1], temperature=0.5)]
    with pytest.raises(UsageError, match="a temperature of 0.5 draws one") as caught:
        generate(model, tokenizer, own, num_beams=3, title=None)
    assert caught.value.rows == [1]
    assert caught.value.answers[0] == generate(model, tokenizer, own[:1], num_beams=3, title=None)[0]
    for bad in (0, 1.5, True, "2"):
        with pytest.raises(UsageError, match="^generate: num_beams is .*, and must be a whole number, 1 at least"):
            generate(model, tokenizer, REQUESTS, num_beams=bad)  # type: ignore[arg-type]


def test_a_rule_on_the_cache_is_refused_with_beams() -> None:
    model, tokenizer = endless()
    touching = DecodingRule(name="touching", step=lambda model, cache: None)
    with pytest.raises(UsageError, match="^generate: the decoding rule 'touching' acts on the key-value cache"):
        generate(model, tokenizer, REQUESTS[:1], rules=[touching], num_beams=2, title=None)


def test_a_request_that_fails_costs_the_others_nothing_with_beams() -> None:
    model, tokenizer = endless()
    word = tokenizer(PROMPTS[1])["input_ids"]

    def broken(ids: torch.Tensor, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        out = logits.clone()
        for row, prefix in zip(out, ids.tolist(), strict=True):
            text = [t for t in prefix if t >= 0]
            if text[: len(word)] == word:
                row[:] = float("nan")
        return out

    rules = [DecodingRule(name="broken", next_logits=broken)]
    with pytest.raises(PluginFault) as caught:
        generate(model, tokenizer, REQUESTS, rules=rules, num_beams=3, title=None)
    assert caught.value.rows == [1]
    plain = generate(model, tokenizer, REQUESTS, num_beams=3, title=None)
    answers = [None if a is None else a.token_ids for a in caught.value.answers]
    assert answers == [plain[0].token_ids, None, plain[2].token_ids]


def test_an_endpoint_has_neither_beams_nor_stop_strings() -> None:
    from evenhand.remote import RemoteModel

    model: Any = RemoteModel(client=None, name="far")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="^generate: beams are for models that are loaded here"):
        generate(model, None, REQUESTS, num_beams=2)
    with pytest.raises(UsageError, match="^generate: stop strings are for models that are loaded here"):
        generate(model, None, REQUESTS, stop_strings=["a"])


def test_a_pipeline_has_beams_and_stop_strings() -> None:
    model, tokenizer = endless()
    pipe = TextGeneration(model, tokenizer, [HALVED])
    found = pipe(PROMPTS[0], max_new_tokens=8, num_beams=3, return_full_text=False)
    [expected] = generate(model, tokenizer, REQUESTS[:1], rules=[HALVED], num_beams=3, title=None)
    assert found == [{"generated_text": expected.text}] and pipe.responses == [expected]
    stop = tokenizer.decode(expected.token_ids[3:5])
    [short] = generate(model, tokenizer, REQUESTS[:1], rules=[HALVED], num_beams=3, stop_strings=[stop], title=None)
    found = pipe(PROMPTS[0], max_new_tokens=8, num_beams=3, stop_strings=stop, return_full_text=False)
    assert found == [{"generated_text": short.text}] and stop not in short.text
    with pytest.raises(UsageError, match="^pipeline: the search with beams has one answer, not 2"):
        pipe(PROMPTS[0], num_beams=2, num_return_sequences=2)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("text_inputs", "give the text, or the texts, as the first argument"),
        ("stop_sequence", "write stop_strings=[...]"),
        ("max_length", "write max_new_tokens=..., without the tokens of the prompt"),
        ("repetition_penalty", "set pipe.model.generation_config.repetition_penalty, which counts in all calls"),
        ("num_beam_groups", "leave it out, or call result.model.generate, which has no rules around requests"),
    ],
)
def test_an_argument_that_there_is_not_is_told_with_what_there_is(name: str, instead: str) -> None:
    with pytest.raises(EvenhandError) as caught:
        TextGeneration(*endless(), [])(*([] if name == "text_inputs" else PROMPTS[:1]), **{name: 2})
    assert str(caught.value).splitlines() == [
        f"pipeline: there is no argument {name!r}",
        "  it takes max_new_tokens, do_sample, temperature, top_p, num_return_sequences, num_beams, stop_strings, "
        "return_full_text, batch_size, seed and meta",
        f"  {instead}",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repetition_penalty", 50.0), ("no_repeat_ngram_size", 1), ("min_new_tokens", 6),
        ("bad_words_ids", [["first"]]),
        ("suppress_tokens", ["first"]), ("begin_suppress_tokens", ["first"]), ("sequence_bias", [[["first"], -50.0]]),
        ("min_p", 0.9), ("typical_p", 0.2), ("max_time", 0.0), ("length_penalty", 20.0),
    ],
)  # fmt: skip
def test_what_is_to_be_set_in_the_configuration_counts_there(name: str, value: Any) -> None:
    model, tokenizer = endless()
    pipe = TextGeneration(model, tokenizer, [])
    how: dict[str, Any] = {"max_new_tokens": 40, "do_sample": name in ("min_p", "typical_p")}
    if name == "length_penalty":
        how |= {"num_beams": 4, "stop_strings": ["e"]}
    pipe(PROMPTS[0], **how)
    [plain] = pipe.responses
    if name == "min_new_tokens":
        model.generation_config.eos_token_id = plain.token_ids[0]
        pipe(PROMPTS[0], **how)
        [plain] = pipe.responses
        assert plain.token_ids == ()

    def filled(part: Any) -> Any:
        return list(map(filled, part)) if isinstance(part, list) else plain.token_ids[0] if part == "first" else part

    setattr(model.generation_config, name, filled(value))
    pipe(PROMPTS[0], **how)
    assert name in SET_ONCE and len(SET_ONCE) == 11
    assert pipe.responses[0].token_ids != plain.token_ids

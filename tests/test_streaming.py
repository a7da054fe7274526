"""Answers in pieces: they make up what `generate` gives, and closing a stream frees what was held."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import PluginFault, WrongModelKind
from evenhand.generation import generate
from evenhand.streaming import streamed
from evenhand_sdk.tiny import tiny_causal, tiny_masked

REQUEST = Request(prompt="The nurse said that she", max_new_tokens=12)


def told(tokenizer: Any) -> DecodingRule:
    """Mixes in the same text behind a few words, so that there is a context with a cache of its own."""
    head = tokenizer("The old town")["input_ids"]
    return DecodingRule(
        name="told",
        contexts=lambda prefix: [[*head, *prefix]],
        next_logits=lambda ids, logits, contexts: torch.stack(
            [r + c[0] for r, c in zip(logits, contexts, strict=True)]
        ),
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("ruled", [False, True])
def test_pieces_make_up_the_answer(temperature: float, ruled: bool) -> None:
    model, tokenizer = tiny_causal()
    rules = [told(tokenizer)] if ruled else []
    whole = generate(model, tokenizer, [REQUEST], rules=rules, temperature=temperature, title=None)[0].text
    pieces = list(streamed(model, tokenizer, REQUEST, rules=rules, temperature=temperature))
    assert "".join(pieces) == whole and len(pieces) > 3


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("ruled", [False, True])
def test_a_stream_that_has_ended_has_its_record(temperature: float, ruled: bool) -> None:
    model, tokenizer = tiny_causal()
    rules = [told(tokenizer)] if ruled else []
    [whole] = generate(model, tokenizer, [REQUEST], rules=rules, temperature=temperature, title=None)
    assert {change.rule for change in whole.changes} == ({"told"} if ruled else set())
    stream = streamed(model, tokenizer, REQUEST, rules=rules, temperature=temperature)
    assert stream.response is None
    for _ in stream:
        assert stream.response is None  # also behind the last piece that was read
    assert stream.response == whole
    assert next(stream, None) is None  # asked once more
    stream.close()
    assert stream.response == whole


def test_a_stream_that_was_closed_or_has_failed_has_no_record() -> None:
    model, tokenizer = tiny_causal()
    stream = streamed(model, tokenizer, REQUEST)
    next(stream)
    stream.close()
    assert list(stream) == [] and stream.response is None
    broken = DecodingRule(name="broken", next_logits=lambda ids, logits, contexts: logits * float("nan"))
    stream = streamed(model, tokenizer, REQUEST, rules=[broken])
    with pytest.raises(PluginFault):
        list(stream)
    assert list(stream) == [] and stream.response is None


def test_a_stream_that_nothing_holds_ends_its_writing() -> None:
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    threads = threading.active_count()
    for _ in streamed(model, tokenizer, Request(prompt="The nurse said that she", max_new_tokens=400)):
        break
    assert threading.active_count() == threads


def test_with_a_rule_around_requests_there_is_one_piece() -> None:
    model, tokenizer = tiny_causal()

    def around(request: Request, ask: Any) -> Response:
        found = ask(request)
        return Response(request=request, text=found.text.upper())

    rule = DecodingRule(name="loud", around=around)
    whole = generate(model, tokenizer, [REQUEST], rules=[rule], title=None)[0].text
    stream = streamed(model, tokenizer, REQUEST, rules=[rule])
    assert list(stream) == [whole] and whole.isupper()
    assert stream.response is not None and stream.response.text == whole


@pytest.mark.parametrize("ruled", [False, True])
@pytest.mark.parametrize("ends", [None, [5]])
def test_the_tokenizers_end_token_ends_a_stream_and_its_writing(ends: list[int] | None, ruled: bool) -> None:
    """Where the model's generation configuration names no end token, or another one."""
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = ends
    passes: list[int] = []

    def end_third(module: Any, args: Any, out: Any) -> None:
        passes.append(1)
        if len(passes) == 3:
            out.logits[:, -1] = 0.0
            out.logits[:, -1, tokenizer.eos_token_id] = 50.0

    model.register_forward_hook(end_third)
    same = DecodingRule(name="same", next_logits=lambda ids, logits, contexts: logits * 1.0)
    rules = [same] if ruled else []
    [whole] = generate(model, tokenizer, [REQUEST], rules=rules, title=None)
    assert len(whole.token_ids) == 2 and len(passes) == 3
    passes.clear()
    assert "".join(streamed(model, tokenizer, REQUEST, rules=rules)) == whole.text
    assert len(passes) == 3


def test_closing_a_stream_ends_the_writing_and_frees_the_caches() -> None:
    from transformers import DynamicCache

    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    caches: list[Any] = []
    passes: list[int] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        passes.append(1)
        if isinstance(kwargs.get("past_key_values"), DynamicCache):
            caches.append(weakref.ref(kwargs["past_key_values"]))

    handle = model.register_forward_pre_hook(look, with_kwargs=True)
    threads = threading.active_count()
    long = Request(prompt="The nurse said that she", max_new_tokens=400)
    stream = streamed(model, tokenizer, long, rules=[told(tokenizer)])
    first = next(stream)
    stream.close()
    handle.remove()
    gc.collect()
    assert first and 1 <= len(passes) < 300
    assert caches and all(cache() is None for cache in caches)
    assert threading.active_count() == threads
    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]
    assert generate(model, tokenizer, [REQUEST], title=None)[0].text  # the model works as before


class Passes:
    """Counts forward passes; in the one of number `at`, `then` is called."""

    def __init__(self, model: Any, at: int, then: Callable[[], object]) -> None:
        self.count, self.at, self.then = 0, at, then
        model.generation_config.eos_token_id = None
        model.register_forward_pre_hook(self)

    def __call__(self, module: Any, args: Any) -> None:
        self.count += 1
        if self.count == self.at:
            self.then()


LONG = Request(prompt="The nurse said that she", max_new_tokens=200)


@pytest.mark.parametrize("ruled", [False, True])
def test_a_stream_can_be_closed_while_another_thread_waits_for_its_next_piece(ruled: bool) -> None:
    model, tokenizer = tiny_causal()
    threads = threading.active_count()
    stream = streamed(model, tokenizer, LONG, rules=[told(tokenizer)] if ruled else [])
    inside, go_on = threading.Event(), threading.Event()
    passes = Passes(model, 7, lambda: (inside.set(), go_on.wait(60)))
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(stream))
    closers = [threading.Thread(target=stream.close) for _ in range(2)]
    reader.start()
    assert inside.wait(60)
    for closer in closers:
        closer.start()
        closer.join(0.2)
        assert closer.is_alive()  # until nothing is written any more
    go_on.set()
    for thread in (reader, *closers):
        thread.join(60)
    assert passes.count == 7 and threading.active_count() == threads
    assert read and list(stream) == [] and stream.response is None
    stream.close()


def test_closing_a_stream_ends_what_a_rule_around_requests_has_written() -> None:
    model, tokenizer = tiny_causal()
    asked: list[int] = []

    def around(request: Request, ask: Any) -> Response:
        for _ in range(3):
            asked.append(1)
            found: Response = ask(request)
        return found

    stream = streamed(model, tokenizer, LONG, rules=[DecodingRule(name="thrice", around=around)])
    passes = Passes(model, 205, lambda: stream.close())
    assert list(stream) == [] and stream.response is None
    assert len(asked) == 2 and passes.count == 205  # an answer, and five tokens of another


def test_a_stream_that_is_closed_before_it_is_read_is_never_written() -> None:
    model, tokenizer = tiny_causal()
    passes = Passes(model, 0, lambda: None)
    stream = streamed(model, tokenizer, LONG)
    stream.close()
    assert list(stream) == [] and passes.count == 0


def test_a_with_closes_a_stream_at_its_end() -> None:
    model, tokenizer = tiny_causal()
    passes = Passes(model, 0, lambda: None)
    threads = threading.active_count()
    with streamed(model, tokenizer, LONG) as stream:
        assert next(stream)
    assert threading.active_count() == threads and passes.count < 200
    assert list(stream) == []
    with streamed(model, tokenizer, REQUEST) as stream:
        whole = "".join(stream)
    assert stream.response is not None and stream.response.text == whole


def test_several_threads_may_read_one_stream() -> None:
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    stream = streamed(model, tokenizer, REQUEST)
    read: list[str] = []
    readers = [threading.Thread(target=lambda: read.extend(stream), daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive()
    [whole] = generate(model, tokenizer, [REQUEST], title=None)
    assert sorted("".join(read)) == sorted(whole.text) and stream.response == whole


def test_an_error_is_raised_where_the_next_piece_is_asked_for() -> None:
    model, tokenizer = tiny_causal()
    calls: list[int] = []

    def breaks(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("a rule broke")
        return logits

    stream = streamed(model, tokenizer, REQUEST, rules=[DecodingRule(name="breaks", next_logits=breaks)])
    read = []
    with pytest.raises(RuntimeError, match="a rule broke"):
        for piece in stream:
            read.append(piece)
    assert "".join(read)


def test_a_masked_model_is_told_as_by_generate() -> None:
    model, tokenizer = tiny_masked()
    told = []
    for ask in (lambda: generate(model, tokenizer, [REQUEST]), lambda: list(streamed(model, tokenizer, REQUEST))):
        with pytest.raises(WrongModelKind) as caught:
            ask()
        told.append(str(caught.value))
    assert told[0] == told[1] and told[0].startswith("generate: this model fills gaps, it does not continue text\n")


def test_a_character_of_several_tokens_comes_whole() -> None:
    from evenhand.streaming import _End, _Pieces

    _, tokenizer = tiny_causal()
    ids = tokenizer("a café — naïve", add_special_tokens=False)["input_ids"]
    pieces = _Pieces(tokenizer, [])
    pieces.put(torch.tensor([[1, 2]]))  # the prompt
    for token in ids:
        pieces.put(torch.tensor([token]))
    pieces.end()
    pieces.pieces.put(_End())
    read = []
    while not isinstance(piece := pieces.pieces.get(), _End):
        read.append(piece)
    assert "".join(read) == tokenizer.decode(ids) and not any("\ufffd" in piece for piece in read)


class Cleaning:
    """A tokenizer of words that takes out the space before a sign, as `clean_up_tokenization_spaces` does."""

    clean_up_tokenization_spaces = True

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        text = "".join(self.words[k] for k in ids)
        for sign in (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"):
            text = text.replace(f" {sign}", sign)
        return text.replace(" ' ", "'")


@pytest.mark.parametrize(
    "words",
    [
        ["It", " rained", " ", ".", " I", " do", " n", "'t", " know", " ."],
        ["rock", " '", " n", " roll", " goes", " on", " !"],
        ["one", " ,", " two", " ,", " we", " 've", " done", " ?"],
        [" ", " ", "a", "  ", "b"],
    ],
)
def test_pieces_make_up_an_answer_whose_spaces_change_afterwards(words: list[str]) -> None:
    from evenhand.streaming import _End, _Pieces

    tokenizer = Cleaning(words)
    pieces = _Pieces(tokenizer, [])
    pieces.put(torch.tensor([[0]]))  # the prompt
    for k in range(len(words)):
        pieces.put(torch.tensor([k]))
    pieces.end()
    pieces.pieces.put(_End())
    read = []
    while not isinstance(piece := pieces.pieces.get(), _End):
        read.append(piece)
    assert "".join(read) == tokenizer.decode(list(range(len(words))))
    assert len(read) > 1 or len(words) == 5

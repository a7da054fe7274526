"""Stop strings of a model's own configuration end answers, and the rest of it does not decide how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from evenhand.contributions import DecodingRule, Request
from evenhand.errors import UsageError
from evenhand.generation import generate
from evenhand.stop_strings import ended, stop_texts
from evenhand.streaming import streamed
from evenhand_sdk.tiny import tiny_causal

REQUESTS = [Request(prompt=p, max_new_tokens=12) for p in ("The nurse said that", "He is", "Rain fell on the old town")]
DOUBLED = DecodingRule(name="doubled", next_logits=lambda ids, logits, contexts: 2 * logits)
WAYS: list[tuple[Sequence[DecodingRule], float]] = [([], 0.0), ([DOUBLED], 0.0), ([], 1.0)]


@pytest.mark.parametrize(("rules", "temperature"), WAYS)
def test_an_answer_ends_before_a_stop_string_of_the_models_own(
    rules: Sequence[DecodingRule], temperature: float
) -> None:
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    plain = generate(model, tokenizer, REQUESTS, rules=rules, temperature=temperature, title=None)
    stop = tokenizer.decode(plain[0].token_ids[4:6])
    place = plain[0].text.index(stop)
    model.generation_config.stop_strings = [stop, "never written"]
    passes: list[int] = []
    handle = model.register_forward_pre_hook(lambda module, args: passes.append(1))
    [alone] = generate(model, tokenizer, REQUESTS[:1], rules=rules, temperature=temperature, title=None)
    handle.remove()
    assert len(passes) <= 6  # writing ends, too
    found = generate(model, tokenizer, REQUESTS, rules=rules, temperature=temperature, title=None)
    assert (found[0].text, found[0].token_ids) == (alone.text, alone.token_ids)
    for before, after in zip(plain, found, strict=True):
        assert after.text == before.text.split(stop)[0]
        assert after.token_ids == before.token_ids[: len(after.token_ids)]
    assert tokenizer.decode(alone.token_ids) == plain[0].text[:place]
    if rules:  # the tokens of the stop string were chosen, too
        assert [c.position for c in alone.changes] == list(range(len(passes)))
    pieces = list(streamed(model, tokenizer, REQUESTS[0], rules=rules, temperature=temperature))
    assert "".join(pieces) == alone.text and len(pieces) > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("return_dict_in_generate", True), ("num_return_sequences", 2), ("num_beams", 3), ("num_beam_groups", 2),
        ("token_healing", True), ("prompt_lookup_num_tokens", 3), ("assistant_early_exit", 1), ("dola_layers", "high"),
        ("penalty_alpha", 0.6), ("force_words_ids", [[5]]),
    ],
)  # fmt: skip
def test_a_models_own_way_of_writing_does_not_decide_how_requests_are_answered(name: str, value: Any) -> None:
    model, tokenizer = tiny_causal()
    expected = [
        generate(model, tokenizer, REQUESTS, rules=rules, temperature=temperature, title=None)
        for rules, temperature in WAYS
    ]
    setattr(model.generation_config, name, value)
    if name == "num_return_sequences":  # which transformers 5 has greedy models not say
        model.generation_config.do_sample = True
    found = [
        generate(model, tokenizer, REQUESTS, rules=rules, temperature=temperature, title=None)
        for rules, temperature in WAYS
    ]
    assert found == expected
    assert getattr(model.generation_config, name) == value


class Letters:
    """A tokenizer whose tokens are texts."""

    def decode(self, ids: list[str], skip_special_tokens: bool = True) -> str:
        return "".join(ids)


def test_a_stop_string_may_begin_and_end_within_tokens() -> None:
    found = ended(Letters(), ["one", " tw", "o\n", "\nx", "three"], ["\n\n", "four"])
    assert (found.text, found.ids, found.written, found.stopped) == ("one two", ["one", " tw"], 4, True)
    found = ended(Letters(), ["one", " two"], ["three"])
    assert (found.text, found.ids, found.written, found.stopped) == ("one two", ["one", " two"], 2, False)


def test_the_first_of_several_stop_strings_counts() -> None:
    assert ended(Letters(), ["abcd", "ef"], ["d", "b", "e"]).text == "a"


def test_no_stop_strings_may_be_none_as_in_transformers() -> None:
    assert stop_texts(None) == ()


@pytest.mark.parametrize("given", [[""], [3], 3, ["a", None]])
def test_what_is_no_stop_string_is_refused(given: Any) -> None:
    with pytest.raises(UsageError) as caught:
        stop_texts(given)
    assert str(caught.value).splitlines()[0] == (
        f"generate: stop_strings is {given!r}, and must be texts of a character at least"
    )


def test_a_piece_that_may_begin_a_stop_string_waits() -> None:
    import torch

    from evenhand.streaming import _Pieces

    words = ("a", "b\n", "c", "\n", "\nd", "e")

    class Numbered(Letters):
        def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:  # type: ignore[override]
            return "".join(words[k] for k in ids)

    pieces = _Pieces(Numbered(), [], ["\n\n"])
    pieces.put(torch.tensor([[0]]))  # the prompt
    read: list[list[Any]] = []
    for k in range(len(words)):
        pieces.put(torch.tensor([k]))
        read.append([pieces.pieces.get() for _ in range(pieces.pieces.qsize())])
    pieces.end()
    assert read == [["a"], ["b"], ["\nc"], [], [], []] and pieces.pieces.empty()

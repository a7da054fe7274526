"""One prompt of a batch that `model.generate` cannot write to its end: an error, and what the others became."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from evenhand.attached_rules import attach
from evenhand.contributions import DecodingRule, Request
from evenhand.decoding_reader import Reader
from evenhand.errors import EvenhandError, PluginFault, UsageError
from evenhand.generation import generate
from evenhand_sdk.tiny import tiny_causal

PROMPTS = ["The nurse said that she", "My brother is tired, so he went home and", "Rain fell"]
BAD = 1


def doubled(prefix: Sequence[int]) -> list[list[int]]:
    return [[*prefix[:1], *prefix]]


def halfway(ids: Any, logits: torch.Tensor, contexts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([0.5 * row + 0.5 * seen.mean(0) for row, seen in zip(logits, contexts, strict=True)])


RULE = DecodingRule(name="halfway", contexts=doubled, next_logits=halfway)


def breaking(at: int, word: int) -> DecodingRule:
    """A rule that fails at a length of the one text that holds a word."""

    def next_logits(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        out = logits.clone()
        for row, prefix in zip(out, ids.tolist(), strict=True):
            text = [t for t in prefix if t >= 0]
            if word in text and len(text) >= at:
                row[3] = float("nan")
        return out

    return DecodingRule(name="breaking", next_logits=next_logits)


class Bench:
    """A tiny model, its prompts in a left-padded batch, and a word that only the second of them has."""

    def __init__(self) -> None:
        self.model, self.tokenizer = tiny_causal()
        self.model.generation_config.eos_token_id = None
        self.batch = self.tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
        ids = [set(self.tokenizer(p)["input_ids"]) for p in PROMPTS]
        self.word = min(ids[BAD] - ids[0] - ids[2])
        self.length = len(self.tokenizer(PROMPTS[BAD])["input_ids"])

    def write(self, *rules: DecodingRule, **how: Any) -> Any:
        attach(self.model, self.tokenizer, rules)
        try:
            return self.model.generate(**{**self.batch, "max_new_tokens": 6, "do_sample": False, **how})
        finally:
            self.changes = getattr(self.model.generate, "changes", None)
            vars(self.model).pop("generate", None)  # without rules it has its own


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    assert not holding(made)


def holding(bench: Bench) -> list[Reader]:
    """What still has a key-value cache of the model."""
    gc.collect()
    readers = [thing for thing in gc.get_objects() if type(thing) is Reader]
    return [reader for reader in readers if reader.model is bench.model and reader.cache is not None]


def others(sequences: torch.Tensor, rows: int = 1) -> list[list[int]]:
    return [row for b, row in enumerate(sequences.tolist()) if b // rows != BAD]


def test_a_rule_that_fails_for_one_row_leaves_the_others_as_they_are(bench: Bench) -> None:
    expected = bench.write(RULE)
    with pytest.raises(PluginFault, match="^decoding rule 'breaking': there is no next token to choose") as caught:
        bench.write(RULE, breaking(bench.length + 2, bench.word))
    error = caught.value
    assert error.rows == [BAD]
    assert others(error.output) == others(expected)
    assert error.output[BAD, :-4].tolist() == expected[BAD, :-4].tolist()
    assert error.output[BAD, -4:].tolist() == [bench.tokenizer.pad_token_id] * 4
    assert error.__notes__ == [
        "1 of 3 sequences were given up, the error's `rows`, and end in padding; what the others became is its `output`"
    ]
    assert [sorted({c.position for c in row}) for row in bench.changes] == [[*range(6)], [0, 1], [*range(6)]]


def test_a_sampled_row_without_numbers_of_the_model_leaves_the_others(bench: Bench) -> None:
    def spoil(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output.masked_fill((inputs[0] == bench.word)[..., None], float("nan"))

    asked = {"do_sample": True, "return_dict_in_generate": True, "output_scores": True}
    torch.manual_seed(5)
    expected = bench.write(RULE, **asked)
    torch.manual_seed(5)
    handle = bench.model.get_input_embeddings().register_forward_hook(spoil)
    with pytest.raises(UsageError, match="^generate: there is no next token to choose") as caught:
        bench.write(RULE, **asked)
    handle.remove()
    assert caught.value.rows == [BAD]
    assert others(caught.value.output.sequences) == others(expected.sequences)
    assert len(caught.value.output.scores) == 6


def test_where_no_row_is_left_nothing_more_is_written(bench: Bench) -> None:
    everywhere = DecodingRule(name="none", next_logits=lambda ids, logits, contexts: logits * float("nan"))
    with pytest.raises(PluginFault) as caught:
        bench.write(everywhere)
    assert caught.value.rows == [0, 1, 2]
    assert caught.value.output.tolist() == bench.batch["input_ids"].tolist()


def test_a_context_without_room_and_a_row_without_a_token(bench: Bench) -> None:
    longest = bench.model.config.max_position_embeddings
    wide = DecodingRule(
        name="wide", next_logits=lambda ids, logits, contexts: logits,
        contexts=lambda prefix: [[5] * longest if bench.word in prefix else list(prefix)],
    )  # fmt: skip
    expected = bench.write()
    with pytest.raises(UsageError, match=r"a context of the rule has 512 tokens and up to 6 more") as caught:
        bench.write(wide)
    assert caught.value.rows == [BAD] and others(caught.value.output) == others(expected)
    bench.batch["attention_mask"][BAD] = 0
    with pytest.raises(UsageError, match="^generate: a prompt has no token") as caught:
        bench.write(RULE)
    assert caught.value.rows == [BAD]


def asking(name: str, contexts: Callable[[Sequence[int]], Any]) -> DecodingRule:
    return DecodingRule(name=name, contexts=contexts, next_logits=lambda ids, logits, contexts: logits)


@pytest.mark.parametrize("beams", [1, 2])
def test_a_row_whose_contexts_cannot_be_read_or_are_too_many_leaves_the_others(bench: Bench, beams: int) -> None:
    """Only the rules that ask for the contexts of that row are named, and the row is the second of three."""
    expected = bench.write(num_beams=beams)
    empty = asking("empty", lambda prefix: [()] if bench.word in prefix else [])
    with pytest.raises(PluginFault, match="^decoding rule 'empty': asked for an empty context") as caught:
        bench.write(empty, num_beams=beams)
    assert caught.value.rows == [BAD] and others(caught.value.output) == others(expected)
    lost = asking("lost", lambda prefix: 1 // (bench.word not in prefix) and [])
    with pytest.raises(ZeroDivisionError):
        bench.write(lost, num_beams=beams)  # nobody stands between a rule of one's own and its error
    rules = [
        asking("many", lambda prefix: [(k, *prefix) for k in range(40 * (bench.word in prefix))]),
        asking("innocent", lambda prefix: [] if bench.word in prefix or prefix[0] == 7 else [(7, *prefix)]),
        asking("more", lambda prefix: [(100 + k, *prefix) for k in range(40 * (bench.word in prefix))]),
    ]
    with pytest.raises(UsageError, match="^decoding rules 'many', 'more': for one next token") as caught:
        bench.write(*rules, num_beams=beams)
    assert caught.value.rows == [BAD] and others(caught.value.output) == others(expected)


@pytest.mark.parametrize("returned", [1, 2])
def test_beams_of_the_other_prompts_are_found_as_they_would_be(bench: Bench, returned: int) -> None:
    how = {"num_beams": 3, "num_return_sequences": returned}
    expected = bench.write(RULE, **how)
    with pytest.raises(PluginFault) as caught:
        bench.write(RULE, breaking(bench.length + 2, bench.word), **how)
    assert caught.value.rows == [row for row in range(3 * returned) if row // returned == BAD]
    assert caught.value.__notes__[0].startswith(f"{returned} of {3 * returned} sequences were given up")
    assert others(caught.value.output, returned) == others(expected, returned)
    with pytest.raises(EvenhandError, match="a context of the rule has 505 tokens and up to 9 more") as caught:
        long = torch.full((1, 504), 5)
        bench.write(RULE, input_ids=long, attention_mask=torch.ones_like(long), max_new_tokens=9, num_beams=2)
    assert caught.value.rows == [0]


def test_of_several_samples_of_a_prompt_the_rows_are_those_of_the_output(bench: Bench) -> None:
    how = {"do_sample": True, "num_return_sequences": 2}
    with pytest.raises(PluginFault) as caught:
        bench.write(RULE, breaking(bench.length + 2, bench.word), **how)
    assert caught.value.rows == [2, 3] and caught.value.output.shape[0] == 6
    pad = bench.tokenizer.pad_token_id
    assert [row for row, ids in enumerate(caught.value.output.tolist()) if ids[-4:] == [pad] * 4] == [2, 3]
    assert caught.value.__notes__[0].startswith("2 of 6 sequences were given up")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_from_requests_the_rows_are_their_numbers(bench: Bench, place: int) -> None:
    texts = [PROMPTS[0], PROMPTS[2]]
    texts.insert(place, PROMPTS[BAD])
    asked = [Request(prompt=text, max_new_tokens=4) for text in texts]
    for rules in ([breaking(bench.length, bench.word)], [RULE, breaking(bench.length, bench.word)]):
        with pytest.raises(PluginFault) as caught:
            generate(bench.model, bench.tokenizer, asked, rules=rules, batch_size=2, title=None)
        assert caught.value.rows == [place] and caught.value.output is None
        assert [answer is None for answer in caught.value.answers] == [k == place for k in range(3)]
    unknown = [*asked[:place], Request(prompt="no answer", max_new_tokens=0), *asked[place:]]
    with pytest.raises(EvenhandError) as caught_two:
        generate(bench.model, bench.tokenizer, unknown, rules=[breaking(1, bench.word)], title=None)
    assert caught_two.value.rows == [place, place + 1]


@pytest.mark.parametrize("beams", [1, 2])
def test_an_error_that_is_no_rows_fault_is_raised_at_once(bench: Bench, beams: int) -> None:
    def stop(ids: Any, logits: torch.Tensor, contexts: Any) -> torch.Tensor:
        raise UsageError("out of order", where="a rule")

    with pytest.raises(UsageError, match="a rule: out of order") as caught:
        bench.write(RULE, DecodingRule(name="stop", next_logits=stop), num_beams=beams)
    assert caught.value.output is None
    assert not holding(bench)  # although the traceback of the error is still there

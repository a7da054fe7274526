"""Decoding rules as a logits processor of transformers, and the warning of rules that undo one another."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor

import evenhand
from evenhand.contributions import DecodingRule
from evenhand.errors import UsageError, WrongModelKind
from evenhand.rule_processor import RuleProcessor
from evenhand_sdk.tiny import tiny_causal, tiny_masked

PROMPTS = ["The nurse told her brother that", "Rain fell and he"]
RULES: list[Any] = [("self-debias", {}), ("counterfactual-averaging", {}), ("probability-balancing", {})]


@pytest.mark.parametrize("how", [{"do_sample": False}, {"do_sample": True}, {"num_beams": 3, "do_sample": False}])
def test_it_gives_what_decode_with_gives(how: dict[str, Any]) -> None:
    model, tokenizer = tiny_causal()
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    plain = model.generate(**batch, max_new_tokens=8, **how)
    with evenhand.decode_with(model, tokenizer, RULES):
        torch.manual_seed(1)
        expected = model.generate(**batch, max_new_tokens=8, **how)
    processor = evenhand.logits_processor(model, tokenizer, RULES)
    assert isinstance(processor, LogitsProcessor)
    for _ in range(2):  # a second call begins anew
        torch.manual_seed(1)
        found = model.generate(**batch, max_new_tokens=8, logits_processor=[processor], **how)
        assert torch.equal(found, expected)
    assert not torch.equal(found, plain)


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}])
def test_a_new_call_lets_go_of_what_the_last_one_held(how: dict[str, Any]) -> None:
    """Also one whose prompt is one token longer than what was last read, and so could be its continuation."""
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = None
    finished: list[int] = []
    rule = DecodingRule(
        name="own",
        contexts=lambda prefix: [prefix[:1] * len(prefix)],
        next_logits=lambda ids, logits, contexts: logits.flip(-1),
        finish=lambda: finished.append(1),
    )
    processor = RuleProcessor(model, [rule], tokenizer)
    for size in (5, 9, 9):
        ids = torch.arange(10 + 100 * len(finished), 10 + 100 * len(finished) + size)[None]
        model.generate(ids, max_new_tokens=4, do_sample=False, logits_processor=[processor], **how)
        assert {row[:size] for row in processor._changed} == {tuple(ids[0].tolist())}
        assert all(size <= len(row) < size + 4 for row in processor._changed)
    assert len(finished) == 3
    assert processor.reader.cache is not None
    with processor:
        pass
    assert processor.reader.cache is None and len(finished) == 4


def test_padding_may_be_told_where_the_padding_token_also_begins_a_prompt() -> None:
    model, tokenizer = tiny_causal()
    tokenizer.pad_token = tokenizer.bos_token
    ids = torch.tensor([[1, 1, *tokenizer(PROMPTS[1])["input_ids"]]])
    mask = torch.ones_like(ids)
    mask[0, 0] = 0
    with evenhand.decode_with(model, tokenizer, RULES):
        expected = model.generate(ids, attention_mask=mask, max_new_tokens=6, do_sample=False)
    processor = evenhand.logits_processor(model, tokenizer, RULES, padding=[1])
    found = model.generate(
        ids, attention_mask=mask, max_new_tokens=6, do_sample=False, logits_processor=[processor]
    )  # fmt: skip
    assert torch.equal(found, expected)


def test_what_is_no_map_of_logits_is_refused() -> None:
    with pytest.raises(UsageError, match="^logits_processor: the decoding rule 'reranking' is no map of next-token"):
        evenhand.logits_processor(*tiny_causal(), ["reranking"])
    with pytest.raises(WrongModelKind):
        evenhand.logits_processor(*tiny_masked(), ["counterfactual-averaging"])


def test_rules_that_undo_one_another_are_named_in_own_code_too() -> None:
    model, tokenizer = tiny_causal()
    one = ("probability-balancing", {"target": {"female": 0.9, "male": 0.1}})
    with pytest.warns(UserWarning, match="undoes what .* does: it moves how likely words of each group of gender"):
        evenhand.decode_with(model, tokenizer, [one, ("probability-balancing", {})]).undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evenhand.decode_with(model, tokenizer, RULES).undo()

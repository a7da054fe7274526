"""A kind of cache that the caller or the model's configuration asks for, where the loop with rules has its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from evenhand.attached_rules import attach
from evenhand.contributions import DecodingRule, Request
from evenhand.generation import generate
from evenhand_sdk.tiny import tiny_causal

RULE = DecodingRule(
    name="backwards",
    contexts=lambda prefix: [prefix[::-1]],
    next_logits=lambda ids, logits, contexts: torch.stack(
        [(own + others.mean(0)) / 2 for own, others in zip(logits, contexts, strict=True)]
    ),
)
BATCHES = [["The nurse said that"], ["The nurse said that", "Rain fell on the old town", "He"], ["He is"]]
GREEDY: dict[str, Any] = {"do_sample": False}
SAMPLED: dict[str, Any] = {"do_sample": True, "top_k": 0}
BEAMS: dict[str, Any] = {"do_sample": False, "num_beams": 3}


def written(model: Any, tokenizer: Any, **how: Any) -> list[list[list[int]]]:
    """The tokens of each batch, one call of `model.generate` after the other."""
    torch.manual_seed(0)
    batches = [tokenizer(texts, return_tensors="pt", padding=True, padding_side="left") for texts in BATCHES]
    return [model.generate(**batch, max_new_tokens=6, **how).tolist() for batch in batches]


@pytest.fixture(params=["argument", "configuration of the call", "configuration of the model"])
def asked(request: pytest.FixtureRequest) -> tuple[Any, Any, dict[str, Any]]:
    """A model, its tokenizer, and the arguments with which each call then has a static cache."""
    model, tokenizer = tiny_causal()
    arguments: dict[str, dict[str, Any]] = {
        "argument": {"cache_implementation": "static"},
        "configuration of the call": {"generation_config": GenerationConfig(cache_implementation="static")},
        "configuration of the model": {},
    }
    if not arguments[request.param]:
        model.generation_config.cache_implementation = "static"
    return model, tokenizer, arguments[request.param]


@pytest.mark.parametrize("way", [GREEDY, SAMPLED, BEAMS], ids=["greedy", "sampled", "beams"])
def test_rules_act_under_a_static_cache_as_without(asked: tuple[Any, Any, dict[str, Any]], way: dict[str, Any]) -> None:
    other, tokenizer = tiny_causal()
    attach(other, tokenizer, [RULE])
    expected = written(other, tokenizer, **way)
    model, tokenizer, arguments = asked
    attach(model, tokenizer, [RULE])
    assert written(model, tokenizer, **way, **arguments) == expected
    assert way is BEAMS or not hasattr(model, "_cache")
    del model.generate
    del other.generate
    assert written(model, tokenizer, **way, **arguments) == written(other, tokenizer, **way) != expected


@pytest.mark.parametrize(("temperature", "rules"), [(0.0, [RULE]), (1.0, []), (1.0, [RULE]), (0.0, [])])
def test_requests_are_answered_so_too(temperature: float, rules: list[DecodingRule]) -> None:
    def answers(model: Any, tokenizer: Any) -> list[Any]:
        return [
            [r.token_ids for r in generate(model, tokenizer, requests, rules=rules, temperature=temperature)]
            for requests in ([Request(prompt=text, max_new_tokens=6) for text in texts] for texts in BATCHES)
        ]

    model, tokenizer = tiny_causal()
    expected = answers(model, tokenizer)
    model.generation_config.cache_implementation = "static"
    assert answers(model, tokenizer) == expected
    assert model.generation_config.cache_implementation == "static"
    plain = written(model, tokenizer, **GREEDY)
    model.generation_config.cache_implementation = None
    assert plain == written(model, tokenizer, **GREEDY)

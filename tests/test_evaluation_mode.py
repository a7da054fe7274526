"""Who asks a model in training mode gets answers without dropout, and leaves the model as it was."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from evenhand.contributions import DecodingRule, Request
from evenhand.errors import UsageError
from evenhand.evaluation_mode import evaluation_mode
from evenhand.generation import generate
from evenhand_sdk.tiny import tiny_causal

PATIENCE = 30.0
"""Seconds after which a thread is not waited for any more."""


def training() -> tuple[Any, Any, dict[str, bool]]:
    """A model in training mode but for one module, with much dropout, and the mode of each module."""
    model, tokenizer = tiny_causal("gpt2")
    model.generation_config.eos_token_id = None
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.transformer.ln_f.eval()
    return model, tokenizer, modes(model)


def modes(model: Any) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def same(name: str, then: Any = lambda: None) -> DecodingRule:
    """A rule that changes nothing, and does something each time."""

    def next_logits(ids: Any, logits: Any, contexts: Any) -> Any:
        then()
        return logits

    return DecodingRule(name=name, next_logits=next_logits)


def answer(model: Any, tokenizer: Any, tokens: int, rule: DecodingRule) -> tuple[int, ...]:
    request = Request(prompt="The nurse said", max_new_tokens=tokens)
    [found] = generate(model, tokenizer, [request], rules=[rule], title=None)
    return found.token_ids


def test_an_answer_that_ends_leaves_the_others_in_evaluation_mode() -> None:
    model, tokenizer, before = training()
    alone = answer(model, tokenizer, 12, same("alone"))
    assert alone == answer(model, tokenizer, 12, same("alone"))  # nothing is dropped
    assert modes(model) == before
    asked, began, ended = threading.Event(), threading.Event(), threading.Event()
    seen: list[bool] = []

    def in_the_middle() -> None:
        began.set()
        assert ended.wait(PATIENCE)
        seen.append(model.training)

    def until_the_other_began() -> None:
        asked.set()
        assert began.wait(PATIENCE)

    def short() -> None:
        answer(model, tokenizer, 2, same("short", until_the_other_began))
        ended.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(short)
        assert asked.wait(PATIENCE)
        found = pool.submit(answer, model, tokenizer, 12, same("long", in_the_middle)).result()
        first.result()
    assert seen == [False] * 12
    assert found == alone
    assert modes(model) == before


def test_a_measurement_and_an_answer_share_the_mode() -> None:
    from evenhand.scoring_precision import measuring

    model, tokenizer, before = training()
    with measuring(model, "float32"):
        answer(model, tokenizer, 2, same("within"))
        assert not any(modes(model).values())
    assert modes(model) == before


def test_a_refused_request_leaves_the_model_as_it_was() -> None:
    model, tokenizer, before = training()
    with pytest.raises(UsageError, match="the model takes at most"):
        answer(model, tokenizer, 10_000, same("refused"))
    assert modes(model) == before


def test_the_mode_of_each_module_comes_back_with_its_last_user() -> None:
    inner = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(2, 2).eval())
    outer = torch.nn.Sequential(inner, torch.nn.Dropout())
    before = modes(outer)
    whole, part = evaluation_mode(outer), evaluation_mode(inner)
    whole.__enter__()
    part.__enter__()
    whole.__exit__(None, None, None)
    assert modes(outer) == {"": True, "0": False, "0.0": False, "0.1": False, "1": True}
    part.__exit__(None, None, None)
    assert modes(outer) == before == {"": True, "0": True, "0.0": True, "0.1": False, "1": True}


def test_a_model_that_is_trained_within_a_block_is_asked_without_dropout() -> None:
    model = torch.nn.Dropout(0.5)
    with evaluation_mode(model):
        model.train()
        with evaluation_mode(model):
            assert not model.training
    assert model.training

"""Trainings of a model whose activations are computed again: each term can be differentiated all the same."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from datasets import Dataset

import evenhand
from evenhand.contributions import Aggregator, LossTerm
from evenhand.errors import UsageError
from evenhand.training_model import CHECKPOINTING
from evenhand_sdk.tiny import tiny_causal

ROWS = Dataset.from_dict({"text": ["The nurse said that she would come back.", "Rain fell on the town."] * 4})
SMALL = LossTerm(name="small", fn=lambda batch, outputs: outputs.logits.float().square().mean(), weight=0.1)
SUM = Aggregator(name="sum", uses="gradients", combine=lambda losses, gradients: sum(gradients.values()))
REENTRANT = {"use_reentrant": True}
OPTIONS: dict[str, Any] = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3}


def ways(model: Any) -> list[bool]:
    return [vars(m)[CHECKPOINTING].keywords["use_reentrant"] for m in model.modules() if CHECKPOINTING in vars(m)]


@pytest.mark.parametrize("parts", [[SMALL], [SMALL, SUM]])
def test_the_reentrant_kind_trains_to_the_same_weights_and_is_put_back(parts: Any) -> None:
    plain, tokenizer = tiny_causal()
    thrifty, _ = tiny_causal()
    thrifty.gradient_checkpointing_enable(gradient_checkpointing_kwargs=REENTRANT)
    evenhand.train(plain, tokenizer, ROWS, list(parts), **OPTIONS)
    result = evenhand.train(thrifty, tokenizer, ROWS, list(parts), **OPTIONS)
    for (name, a), (_, b) in zip(plain.named_parameters(), thrifty.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)
    assert (result.terms["small"]["gradient_norm"] or 0) > 0
    assert ways(thrifty) and all(ways(thrifty))


def test_a_way_of_a_models_own_that_allows_no_single_gradient_is_told() -> None:
    from torch.utils.checkpoint import checkpoint

    model, tokenizer = tiny_causal()
    model.gradient_checkpointing_enable()
    for module in model.modules():
        if CHECKPOINTING in vars(module):
            setattr(module, CHECKPOINTING, lambda *given: functools.partial(checkpoint, use_reentrant=True)(*given))
    with pytest.raises(UsageError) as caught:
        evenhand.train(model, tokenizer, ROWS, [SMALL], **OPTIONS)
    assert str(caught.value) == (
        "training: gradient checkpointing of the reentrant kind lets no single term be differentiated\n"
        '  model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})'
    )

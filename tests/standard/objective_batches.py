"""Batches and outputs for the tests of loss terms: made by the code of the trainings, with gradients."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from evenhand.reference import ReferenceModel
from evenhand.training_data import Collator, encode
from evenhand.training_forward import forward
from evenhand_sdk import Batch, LossTerm, Outputs


def batch_of(
    model: Any,
    tokenizer: Any,
    terms: Sequence[LossTerm],
    texts: Sequence[str],
    kind: Any = "causal",
    *,
    reference: Any = None,
    max_length: int = 32,
    seed: int = 1,
    **columns: Sequence[Any],
) -> tuple[Batch, Outputs]:
    """One batch of all texts with what the terms need; the untouched model is `reference`, or a copy of the model."""
    needs = [term.needs for term in terms]
    rows, bins = encode(
        Dataset.from_dict({"text": list(texts), **columns}),
        tokenizer,
        kind=kind,
        max_length=max_length,
        pairings=[n.counterfactual for n in needs if n.counterfactual],
        columns=tuple(dict.fromkeys(c for n in needs for c in n.columns)),
        vocabulary=model.config.vocab_size,
    )
    batch = Collator(tokenizer=tokenizer, kind=kind, bins=bins, seed=seed)(rows)["batch"]
    untouched = reference if reference is not None else copy.deepcopy(model)
    held = ReferenceModel(untouched.eval().requires_grad_(False), kind=kind)
    return batch, forward(model, batch, needs, kind=kind, reference=held)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])

"""Contrast over counterfactual pairs: both losses from plain forward passes, and what a training does to texts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from objective_batches import batch_of, ids_of

from evenhand_sdk import Batch, Outputs
from evenhand_standard.objective.pair_contrast import PairContrast, info_nce

TEXTS = [
    "The nurse said that she was good.",
    "Rain fell on the town.",
    "People said he is a judge.",
    "He kept his dog.",
]
OTHERS = {0: "The nurse said that he was good.", 2: "People said she is a judge.", 3: "She kept her dog."}


def by_hand(
    own: list[Any], other: list[Any], rows: list[int], *, tau: float, alignment: float
) -> float:  # unit vectors in float64, one for each pair
    contrastive, aligned = [], []
    for i in range(len(rows)):
        up = math.exp(own[i] @ other[i] / tau)
        down = [math.exp(own[i] @ other[j] / tau) for j in range(len(rows)) if rows[j] != rows[i]]
        contrastive.append(-math.log(up / (up + sum(down))))
        aligned += [(own[i] @ own[j] - other[i] @ other[j]) ** 2 for j in range(len(rows)) if rows[j] != rows[i]]
    return (1 - alignment) * float(np.mean(contrastive)) + alignment * float(np.mean(aligned))


def unit(states: torch.Tensor, mask: torch.Tensor) -> Any:
    found = states[mask.bool()].detach().double().mean(0).numpy()
    return found / np.linalg.norm(found)


def test_both_losses_from_plain_forward_passes(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term,) = PairContrast(temperature=0.3, alignment=0.4, retention=0).objective(run_of(model, tokenizer), model)
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS)

    def read(text: str) -> Any:
        ids = torch.tensor([ids_of(tokenizer, text)])
        return unit(model(input_ids=ids, output_hidden_states=True).hidden_states[-1], torch.ones_like(ids))

    own, other = [read(TEXTS[k]) for k in OTHERS], [read(text) for text in OTHERS.values()]
    expected = by_hand(own, other, list(OTHERS), tau=0.3, alignment=0.4)
    assert term.fn(batch, outputs).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_with_three_groups_the_counterfactuals_of_one_row_are_no_negatives_of_each_other(
    kind: str, tiny: Any, run_of: Any, belief: str
) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind)
    (term,) = PairContrast(axes=[belief], temperature=0.3, retention=0).objective(run, model)
    texts = [
        "The christian went to the church today.",
        "A muslim was tired of the long work.",
        "Rain fell on the town.",
    ]
    batch, outputs = batch_of(model, tokenizer, [term], texts * 4, kind)
    pairs = batch.pairs[term.needs.counterfactual.key]
    rows = pairs.rows.tolist()
    assert len(set(rows)) < len(rows), "some row has two counterfactuals"
    states = outputs.pairs[term.needs.counterfactual.key].hidden_states[-1]
    own = [unit(outputs.hidden_states[-1][b], batch.attention_mask[b]) for b in rows]
    other = [unit(states[p], pairs.attention_mask[p]) for p in range(len(rows))]
    expected = by_hand(own, other, rows, tau=0.3, alignment=0.05)
    assert term.fn(batch, outputs).item() == pytest.approx(expected, rel=1e-3)


def test_the_contrast_of_equal_likeness_is_the_logarithm_of_the_number_of_texts() -> None:
    apart = ~torch.eye(4, dtype=torch.bool)
    assert info_nce(torch.full((4, 4), 0.3), apart, 0.05).item() == pytest.approx(math.log(4), rel=1e-6)


def test_a_batch_with_one_pair_has_nothing_to_tell_it_apart_from(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term,) = PairContrast(retention=0).objective(run_of(model, tokenizer), model)
    assert term.fn(*batch_of(model, tokenizer, [term], TEXTS[:2])).item() == 0.0


def test_strength_scales_and_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    assert PairContrast(strength=0.0).objective(run, model) == []
    found = [(t.name, t.weight, t.anchor) for t in PairContrast(strength=0.5).objective(run, model)]
    assert found == [("pair contrast", 0.05, False), ("retention", 0.05, True)]


def test_a_training_brings_pairs_together_and_not_all_texts(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, max_steps=30, learning_rate=1e-3)
    terms = PairContrast(weight=1.0, retention=0).objective(run, model)
    data = Dataset.from_dict({"text": [TEXTS[0], TEXTS[2], TEXTS[3]] * 8})
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")

    def likeness(one: Any) -> tuple[float, float]:
        batch: Batch
        outputs: Outputs
        batch, outputs = batch_of(one, tokenizer, terms, TEXTS)
        key = terms[0].needs.counterfactual.key
        pairs, states = batch.pairs[key], outputs.pairs[key].hidden_states[-1]
        own = [unit(outputs.hidden_states[-1][b], batch.attention_mask[b]) for b in pairs.rows.tolist()]
        other = [unit(states[p], pairs.attention_mask[p]) for p in range(3)]
        table = np.array([[x @ y for y in other] for x in own])
        return float(np.diag(table).mean()), float(table[~np.eye(3, dtype=bool)].mean())

    (together, apart), (before, others) = likeness(trained), likeness(control)
    assert together > before + 0.03 and apart < others - 0.01
    assert result.terms["pair contrast"]["gradient_norm"] > 0

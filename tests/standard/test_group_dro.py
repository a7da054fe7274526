"""Group DRO: losses by group and the weights that follow them, against values worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from objective_batches import batch_of

from evenhand_sdk import load_axis
from evenhand_standard.objective.group_dro import GroupDRO, RobustLoss, group_losses, updated

TEXTS = ["She said that the engineer was good.", "He is a nurse.", "Rain fell on the town.", "The king met Mary."]


def test_weights_against_values_worked_by_hand() -> None:
    grown = {"a": 0.5 * math.exp(0.2), "b": 0.25 * math.exp(0.6), "c": 0.25}
    whole = sum(grown.values())
    found = updated({"a": 0.5, "b": 0.25, "c": 0.25}, {"a": 2.0, "b": 6.0}, 0.1)
    assert found == pytest.approx({g: x / whole for g, x in grown.items()})


def test_a_large_eta_leaves_the_worst_group_alone_and_overflows_nowhere() -> None:
    assert updated({"a": 0.5, "b": 0.5}, {"a": 8.0, "b": 9.0}, 1000.0) == {"a": 0.0, "b": 1.0}
    assert updated({"a": 0.0, "b": 1.0}, {"a": 9.0, "b": 8.0}, 1000.0) == {"a": 0.0, "b": 1.0}


@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 20.0)), max_size=30), st.floats(0.0, 0.5))
def test_weights_stay_a_distribution_and_the_worse_group_gains(losses: list[tuple[float, float]], eta: float) -> None:
    weights = {"a": 0.5, "b": 0.5}
    for a, b in losses:
        before = weights
        weights = updated(weights, {"a": a, "b": b}, eta)
        assert sum(weights.values()) == pytest.approx(1.0)
        if a > b:
            assert weights["a"] >= before["a"] - 1e-12


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_loss_is_the_weighted_sum_of_the_groups_losses(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    (term,) = GroupDRO(strength=0.5, weight=2.0, eta=0.3).objective(run_of(model, tokenizer, kind), model)
    assert (term.name, term.weight) == ("group DRO", 1.0)
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS, kind)
    groups = ["female", "male", "", "male"]  # by the first group word
    slow: dict[str, list[float]] = {"female": [], "male": []}
    for b, group in enumerate(groups):
        for t, label in enumerate(batch.labels[b].tolist()):
            at = t - 1 if kind == "causal" else t
            if group and label != -100 and at >= 0:
                slow[group].append(-outputs.logits[b, at].double().log_softmax(-1)[label].item())
    losses = {g: sum(x) / len(x) for g, x in slow.items()}
    raw = {g: 0.5 * math.exp(0.3 * x) for g, x in losses.items()}
    q = {g: x / sum(raw.values()) for g, x in raw.items()}
    assert term.fn(batch, outputs).item() == pytest.approx(sum(q[g] * losses[g] for g in q), rel=1e-4)
    found = group_losses(batch, outputs, groups, causal=kind == "causal")
    assert {g: x.item() for g, (x, _) in found.items()} == pytest.approx(losses, rel=1e-4)
    assert {g: count for g, (_, count) in found.items()} == {g: len(x) for g, x in slow.items()}


def test_rows_about_nobody_add_nothing_and_evaluation_moves_no_weight(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    robust = RobustLoss(load_axis("gender"), names=True, eta=0.5, causal=True)
    (term,) = GroupDRO().objective(run_of(model, tokenizer), model)
    value = robust(*batch_of(model, tokenizer, [term], TEXTS[2:3]))
    value.backward()
    assert value.item() == 0.0 and robust.weights == {"female": 0.5, "male": 0.5}
    with torch.no_grad():
        robust(*batch_of(model, tokenizer, [term], TEXTS))
    assert robust.weights == {"female": 0.5, "male": 0.5}


def test_the_weights_survive_a_resume(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term,) = GroupDRO(eta=0.5).objective(run_of(model, tokenizer), model)
    first = term.fn(*batch_of(model, tokenizer, [term], TEXTS)).item()
    (other,) = GroupDRO(eta=0.5).objective(run_of(model, tokenizer), model)
    other.load_state_dict(term.state_dict())
    assert other.state_dict() == term.state_dict() != {"weights": {"female": 0.5, "male": 0.5}}
    second = [t.fn(*batch_of(model, tokenizer, [t], TEXTS)).item() for t in (term, other)]
    assert second[0] == second[1] != first


def test_it_trains_and_strength_0_contributes_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, max_steps=10, learning_rate=3e-3)
    assert GroupDRO(strength=0.0).objective(run, model) == []
    _, result = run.services.train(Dataset.from_dict({"text": TEXTS * 4}), GroupDRO().objective(run, model), name="x")
    facts = result.terms["group DRO"]
    assert facts["gradient_norm"] > 0 and facts["last"] < facts["first"]

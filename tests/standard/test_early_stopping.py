"""Early stopping: its criterion is the gap on validation pairs, and it chooses a moment of a real training."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset

from evenhand.errors import UsageError
from evenhand.measured import Measured
from evenhand_sdk import load_axis
from evenhand_standard.benchmarks.pair_gap import score
from evenhand_standard.objective.early_stopping import EarlyStopping
from evenhand_standard.objective.pair_parity import PairParity
from evenhand_standard.pair_bank import pairs

TEXTS = ["She said that the engineer was good.", "He is a nurse and the people are with him.", "Rain fell on the town."]


def test_the_criterion_is_the_mean_js_gap_on_validation_pairs(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    part = EarlyStopping(limit=16, patience=3).objective(run_of(model, tokenizer), model)
    assert (part.name, part.patience) == ("JS gap on validation pairs", 3)
    measured = Measured(model, tokenizer, "causal", dtype="float32")
    axis = load_axis("gender")
    records = score(measured, axis, pairs(axis, "validation", 16))
    values = [record.values["js"] for record in records]
    assert len(values) == 16
    assert part.measure(measured) == pytest.approx(sum(values) / 16, rel=1e-6)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_it_keeps_the_best_moment_of_a_training(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, max_steps=6, learning_rate=3e-3, evaluate_every=2)
    part = EarlyStopping(limit=8).objective(run, model)
    data = Dataset.from_dict({"text": TEXTS * 4})
    trained, result = run.services.train(data, [*PairParity(weight=20.0).objective(run, model), part])
    looks = {look["step"]: look["criterion"] for look in result.watch["looks"]}
    assert sorted(looks) == [0, 2, 4, 6]
    kept = min((step for step in looks if step), key=looks.__getitem__)
    assert result.watch["kept"] == kept
    found = part.measure(Measured(trained, tokenizer, kind, dtype="float32"))  # type: ignore[arg-type]
    assert found == pytest.approx(looks[kept], rel=1e-4)


def test_an_axis_without_validation_pairs_is_refused(belief: str) -> None:
    with pytest.raises(UsageError) as caught:
        EarlyStopping(axis=belief)
    assert "the pair bank has no validation split for the axis" in str(caught.value)
    assert "it has one for English packs with the groups female and male" in str(caught.value)


def test_a_training_loop_of_ones_own_refuses_it(tiny: Any) -> None:
    import evenhand

    model, tokenizer = tiny()
    with pytest.raises(UsageError) as caught:
        evenhand.Objective(model, tokenizer, [EarlyStopping()])
    assert str(caught.value) == (
        "Objective: 'JS gap on validation pairs' says which moment of a training to keep, and this training is "
        "your own\n"
        '  use a recipe with a step of use = "train", or evenhand.train(model, tokenizer, dataset, plugins)'
    )

"""Interpolation and negation: each weight against the formula, trimming by hand, what stays, what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from family_models import packed

from evenhand_sdk import UsageError
from evenhand_sdk.testing import apply_data, place, train
from evenhand_standard.architecture.task_vector_negation import TaskVectorNegation, stereotyped
from evenhand_standard.architecture.tensor_sets import selected
from evenhand_standard.architecture.weight_interpolation import WeightInterpolation
from evenhand_standard.architecture.weight_path import trim

ROWS = Dataset.from_dict({"text": ["The nurse said that she would come.", "Rain fell on the town."] * 4})


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def trained(plugin: Any, tiny: Any, run_of: Any, kind: str) -> tuple[dict[str, torch.Tensor], ...]:
    """The weights before, behind the training alone, and behind the step."""
    model, tokenizer = tiny(kind)
    before = weights(model)
    run = run_of(model, tokenizer, kind, learning_rate=1e-2)
    [transform] = [plugin.architecture(run, model)]
    train(run, rows=ROWS, transforms=[transform])
    behind = weights(model)
    artifact = transform.finish(model)
    assert artifact.meta["length of the way"] == pytest.approx(
        sum(float((behind[n] - before[n]).double().square().sum()) for n in before) ** 0.5, rel=1e-5
    )
    assert transform.fold(model)
    return before, behind, weights(model)


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize(("strength", "amount"), [(1.0, 0.5), (0.5, 0.8), (1.0, 1.0), (0.0, 0.5)])
def test_interpolation_stops_at_strength_times_amount(
    kind: str, strength: float, amount: float, tiny: Any, run_of: Any
) -> None:
    plugin = WeightInterpolation(strength=strength, amount=amount)
    before, behind, found = trained(plugin, tiny, run_of, kind)
    assert any(not torch.equal(behind[n], before[n]) for n in before)
    share = strength * amount
    for name in before:
        expected = before[name].double() + share * (behind[name].double() - before[name].double())
        assert torch.allclose(found[name].double(), expected, atol=1e-6), name
        assert share != 0 or torch.equal(found[name], before[name])
        assert share != 1 or torch.equal(found[name], behind[name])


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("strength", [1.0, 0.0])
def test_negation_goes_the_other_way_and_leaves_norms(kind: str, strength: float, tiny: Any, run_of: Any) -> None:
    before, behind, found = trained(TaskVectorNegation(strength=strength, amount=0.4), tiny, run_of, kind)
    norms = set(selected(tiny(kind)[0], ("norms",), 1.0))
    for name in before:
        expected = before[name].double() - 0.4 * strength * (behind[name].double() - before[name].double())
        assert torch.allclose(found[name].double(), expected, atol=1e-6), name
        assert not (name in norms or strength == 0) or torch.equal(found[name], before[name])
    assert any(not torch.equal(behind[n], before[n]) for n in before)


def test_trimming_by_hand() -> None:
    model = torch.nn.Linear(2, 2, bias=False)
    before = {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.1, 1.0], [3.5, 4.2]]))
    trim(model, before, 0.5)
    assert torch.equal(model.weight, torch.tensor([[1.0, 1.0], [3.5, 4.0]])), "1 and 0.5 are the largest two of four"


def test_the_text_of_negation_is_stereotyped_sentences_of_every_row(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    plugin, run = TaskVectorNegation(), run_of(model, tokenizer)
    rows = apply_data(plugin, run, ROWS)
    sentences = set(stereotyped("gender", "en"))
    assert len(rows) == len(ROWS) and set(rows["text"]) <= sentences and len(set(rows["text"])) > 2
    assert any("nanny" in s and " her " in s for s in sentences)
    assert not any("nanny" in s and " him " in s for s in sentences)
    assert apply_data(TaskVectorNegation(strength=0.0), run, ROWS)["text"][:] == ROWS["text"][:]
    assert TaskVectorNegation(text="recipe").data(run, "train", model) is None
    assert plugin.material() is not None and TaskVectorNegation(text="recipe").material() is None


def test_negation_makes_what_was_learnt_less_likely(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, learning_rate=3e-3, max_steps=20)
    texts = list(stereotyped("gender", "en"))[:16]

    def loss() -> float:
        ids = [tokenizer(text, return_tensors="pt")["input_ids"] for text in texts]
        with torch.no_grad():
            return sum(float(model(input_ids=row, labels=row).loss) for row in ids)

    before = loss()
    place([TaskVectorNegation(amount=0.5).architecture(run, model)], run, Dataset.from_dict({"text": texts}))
    assert loss() > before + 0.1


def test_an_axis_without_associations_is_refused(belief: str, tmp_path: Path, tiny: Any, run_of: Any) -> None:
    with pytest.raises(UsageError, match="there are no sentences to fit on|no occupations are known"):
        stereotyped(belief, "en")
    with pytest.raises(UsageError, match="no occupations are known to be tied to groups of the axis 'religion'"):
        stereotyped("religion", "en")


def test_a_model_that_is_quantised_in_part_goes_no_way(tiny: Any, run_of: Any) -> None:
    """Otherwise the norms and the embeddings alone would go it, without a word."""
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    codes = packed(copy.deepcopy(model))
    down = model.model.layers[1].mlp.down_proj
    down.weight = torch.nn.Parameter(torch.zeros(down.weight.shape, dtype=torch.int8), requires_grad=False)
    for plugin in (WeightInterpolation(), TaskVectorNegation()):
        with pytest.raises(UsageError) as caught:
            plugin.architecture(run, model).trainable(model)
        assert str(caught.value) == (
            "weights: 'model.layers.1.mlp.down_proj.weight' of the model is quantised (int8), and no training moves "
            "it\n"
            "  quantised tensors of the model: 1\n"
            "  load the model without quantisation, or train what is plain alone with `selective-update`"
        )
        with pytest.raises(UsageError, match=r"q_proj.weight' of the model is quantised \(packed codes\)"):
            plugin.architecture(run, packed).trainable(codes)


def test_what_other_steps_have_added_or_frozen_does_not_move_with_all_weights(tiny: Any, run_of: Any) -> None:
    from evenhand_sdk import Artifact
    from evenhand_standard.architecture.movement_pruning import MovementPruning
    from evenhand_standard.architecture.own_parameters import own_parameters
    from evenhand_standard.architecture.selective_update import SelectiveUpdate

    model, tokenizer = tiny()
    names = [name for name, _ in model.named_parameters()]
    assert own_parameters(model) == names
    run = run_of(model, tokenizer)
    MovementPruning().architecture(run, model).apply(model, Artifact())
    added = [name for name, _ in model.named_parameters() if name not in names]
    assert added
    frozen = names[3]
    dict(model.named_parameters())[frozen].requires_grad_(False)
    expected = [name for name in names if name != frozen]
    assert own_parameters(model) == expected
    for plugin in (WeightInterpolation(), SelectiveUpdate(select=("all",))):
        assert list(plugin.architecture(run, model).trainable(model)) == expected
    assert set(TaskVectorNegation().architecture(run, model).trainable(model)) < set(expected)

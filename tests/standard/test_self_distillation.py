"""Self-distillation: the teacher's distribution and the loss against slow values, and that the student follows."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from datasets import Dataset
from objective_batches import batch_of

from evenhand_standard.objective.self_distillation import SelfDistillation, folded, teacher

TEXTS = [
    "She said that the engineer was good.",
    "People said he is a nurse and the judge was bad.",
    "Rain fell on the town.",
]


def slow_fold(logits: torch.Tensor, bins: list[int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for p, bin in zip(logits.double().softmax(-1).tolist(), bins, strict=True):
        found[bin] = found.get(bin, 0.0) + p
    return found


def slow_teacher(given: list[dict[int, float]], operation: str) -> dict[int, float]:
    made = {}
    for bin in given[0]:
        values = [p[bin] for p in given]
        made[bin] = {
            "mean": sum(values) / len(values),
            "geometric": math.prod(values) ** (1 / len(values)),
            "max": max(values),
        }[operation]
    whole = sum(made.values())
    return {bin: value / whole for bin, value in made.items()}


def test_the_teacher_against_values_worked_by_hand() -> None:
    own = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log()
    others = torch.tensor([[0.1, 0.9], [0.3, 0.7]]).log()
    place = torch.tensor([0, 0])  # both belong to the first position; the second has none
    mean = teacher(own, others, place, "mean").exp()
    assert mean.tolist() == [pytest.approx([0.3, 0.7]), pytest.approx([0.9, 0.1])]
    a, b = (0.5 * 0.1 * 0.3) ** (1 / 3), (0.5 * 0.9 * 0.7) ** (1 / 3)
    assert teacher(own, others, place, "geometric").exp()[0].tolist() == pytest.approx([a / (a + b), b / (a + b)])
    assert teacher(own, others, place, "max").exp()[0].tolist() == pytest.approx([0.5 / 1.4, 0.9 / 1.4])


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("operation", ["mean", "geometric", "max"])
def test_the_term_is_the_mean_divergence_from_the_teacher(operation: Any, kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    reference = copy.deepcopy(model)
    with torch.no_grad():
        for p in reference.parameters():
            p.mul_(0.9)
    (term,) = SelfDistillation(operation=operation, retention=0.0, strength=0.5).objective(
        run_of(model, tokenizer, kind), model
    )
    assert (term.name, term.weight) == ("self-distillation", 0.5)
    # In each copy of a row other pieces are masked.
    batch, outputs = batch_of(model, tokenizer, [term], TEXTS * 4, kind, reference=reference, seed=3)
    ((key, pairs),) = batch.pairs.items()
    bins = pairs.bins.tolist()
    with torch.no_grad():
        own = reference(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        other = reference(input_ids=pairs.input_ids, attention_mask=pairs.attention_mask).logits
    expected = []
    for p, i, j in pairs.positions.tolist():
        b = int(pairs.rows[p])
        q = slow_teacher([slow_fold(own[b, i], bins), slow_fold(other[p, j], bins)], operation)
        trained = slow_fold(outputs.logits[b, i], bins)
        expected.append(sum(q[x] * (math.log(q[x]) - math.log(trained[x])) for x in q if q[x] > 0))
    assert len(expected) >= 2
    assert term.fn(batch, outputs).item() == pytest.approx(sum(expected) / len(expected), rel=1e-3)


def test_all_counterfactuals_of_an_axis_with_more_groups_are_averaged(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    (term,) = SelfDistillation(axes=(belief,), retention=0.0).objective(run_of(model, tokenizer), model)
    batch, outputs = batch_of(model, tokenizer, [term], ["People met at the church and said that the judge was bad."])
    (pairs,) = batch.pairs.values()
    assert len(pairs.rows) == 2
    (found,) = outputs.pairs.values()
    bins, by_place = pairs.bins.tolist(), {}
    for p, i, j in pairs.positions.tolist():
        by_place.setdefault(i, []).append(slow_fold(found.logits[p, j].detach(), bins))
    expected = []
    for i, others in by_place.items():
        own = slow_fold(outputs.logits[0, i].detach(), bins)
        q = slow_teacher([own, *others], "mean")
        expected.append(sum(q[x] * (math.log(q[x]) - math.log(own[x])) for x in q if q[x] > 0))
    assert {len(others) for others in by_place.values()} == {2}
    assert term.fn(batch, outputs).item() == pytest.approx(sum(expected) / len(expected), rel=1e-3)


def test_within_a_bin_nothing_is_taught(tiny: Any, run_of: Any) -> None:
    """She and he share a bin: moving mass between them changes nothing."""
    logits = torch.tensor([[0.3, 1.0, -0.5, 0.2]])
    bins = torch.tensor([0, 0, 2, 3])
    moved = logits.clone()
    mass = logits[0, :2].exp().sum()
    moved[0, 0], moved[0, 1] = (0.1 * mass).log(), (0.9 * mass).log()
    assert torch.allclose(folded(logits, bins), folded(moved, bins), atol=1e-6)
    model, tokenizer = tiny()
    (term,) = SelfDistillation(retention=0.0).objective(run_of(model, tokenizer), model)
    batch, _ = batch_of(model, tokenizer, [term], TEXTS)
    (pairs,) = batch.pairs.values()
    grouped = {int(t) for t in range(len(pairs.bins)) if (pairs.bins == pairs.bins[t]).sum() > 1}
    for p, i, _ in pairs.positions.tolist():  # the word at such a place is no group word
        assert int(batch.input_ids[pairs.rows[p], i + 1]) not in grouped


def test_a_batch_without_pairs_adds_nothing(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    (term,) = SelfDistillation(retention=0.0).objective(run_of(model, tokenizer), model)
    value = term.fn(*batch_of(model, tokenizer, [term], TEXTS[2:]))
    value.backward()
    assert value.item() == 0.0


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_training_follows_the_teacher(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, max_steps=20, learning_rate=3e-3)
    terms = SelfDistillation(weight=20.0).objective(run, model)
    data = Dataset.from_dict({"text": TEXTS * 4})
    trained, result = run.services.train(data, terms, name="with")
    control, _ = run.services.train(data, [], name="without")
    with torch.no_grad():
        after, without = (
            terms[0].fn(*batch_of(m, tokenizer, terms, TEXTS, kind, reference=model, seed=3)).item()
            for m in (trained, control)
        )
    assert after < 0.5 * without
    assert set(result.terms) == {"language modelling", "self-distillation", "retention"}
    assert result.terms["self-distillation"]["gradient_norm"] > 0


def test_strength_0_contributes_nothing_and_axes_have_a_term_each(tiny: Any, run_of: Any, belief: str) -> None:
    model, tokenizer = tiny()
    assert SelfDistillation(strength=0.0).objective(run_of(model, tokenizer), model) == []
    terms = SelfDistillation(axes=("gender", belief)).objective(run_of(model, tokenizer), model)
    assert [t.name for t in terms] == ["self-distillation (gender)", "self-distillation (belief)", "retention"]

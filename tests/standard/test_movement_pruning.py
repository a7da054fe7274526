"""Movement pruning: gates and gradients by hand, the schedule, what is left behind a training, strength 0."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

import evenhand
from evenhand.errors import NoEffect
from evenhand_sdk import Artifact
from evenhand_sdk.testing import train
from evenhand_sdk.tiny import save_tiny
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.movement_pruning import MovementPruning, Scores, scheduled


def outputs(model: Any, tokenizer: Any) -> torch.Tensor:
    return model(**tokenizer("The nurse said that she was good", return_tensors="pt")).logits


def test_the_schedule_is_cubic() -> None:
    assert [scheduled(0.1, k, 5) for k in range(5)] == pytest.approx(
        [0, 0.1 * 37 / 64, 0.1 * 7 / 8, 0.1 * 63 / 64, 0.1]
    )
    assert scheduled(0.1, 0, 1) == 0.0 and scheduled(0.1, 9, 5) == pytest.approx(0.1)


def test_gates_are_hard_and_their_gradient_is_that_of_the_sigmoid(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    model.double()
    before = outputs(model, tokenizer).detach()
    scores = Scores("a step")
    scores.put(model)
    assert len(scores.names(model)) == 2
    module = layers_of(model)[1].output.module
    score = getattr(module, scores.name)
    heads = len(score)
    score.data = torch.tensor([0.3, -4.0, *[1.0] * (heads - 2)], dtype=torch.float64)
    scores.set_threshold(model, 0.1)
    cut = copy.deepcopy(model)
    Scores("a step").take(cut)
    for owner in cut.modules():
        owner._forward_pre_hooks.clear()
    columns = layers_of(cut)[1].head_columns(1)
    weight = layers_of(cut)[1].output.weight().clone()
    weight[:, columns] = 0
    layers_of(cut)[1].output.write(weight)
    found = outputs(model, tokenizer)
    assert torch.allclose(found, outputs(cut, tokenizer), atol=1e-10)
    # The gradient by S is that by the gate, times sigmoid'(S).
    [by_score] = torch.autograd.grad(found.square().sum(), score)
    gates = torch.tensor([1.0, 0.0, *[1.0] * (heads - 2)], dtype=torch.float64, requires_grad=True)
    size = layers_of(model)[1].head_size
    handle = layers_of(model)[1].output.module
    handle._forward_pre_hooks.clear()
    again = handle.register_forward_pre_hook(lambda m, args: (args[0] * gates.repeat_interleave(size),))
    [by_gate] = torch.autograd.grad(outputs(model, tokenizer).square().sum(), gates)
    again.remove()
    slope = score.sigmoid() * (1 - score.sigmoid())
    assert torch.allclose(by_score, by_gate * slope, atol=1e-8)
    scores.take(model)
    assert not scores.names(model)
    assert torch.equal(outputs(model, tokenizer).detach(), before)


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_a_training_moves_scores_alone_and_what_falls_below_goes(
    kind: str, strength: float, tiny: Any, run_of: Any
) -> None:
    model, tokenizer = tiny(kind)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    run = run_of(model, tokenizer, kind, learning_rate=1.0, max_steps=6)
    plugin = MovementPruning(strength=strength, penalty=100.0)  # strong enough to shut heads in six steps
    term, transform = plugin.objective(run, model), plugin.architecture(run, model)
    transform.apply(model, Artifact())
    assert float(term.fn(None, None).detach()) == pytest.approx(0.5)
    train(run, [term], transforms=[transform])
    artifact = transform.finish(model)
    kept = artifact.tensors["kept"]
    assert torch.equal(kept, (artifact.tensors["scores"].sigmoid() > 0.1).float()) and 0 in kept
    assert artifact.meta["pruned"] == (kept == 0).nonzero().tolist()
    assert {n for n, _ in model.named_parameters()} == set(weights)
    assert all(torch.equal(p, weights[n]) for n, p in model.named_parameters())
    live = outputs(model, tokenizer).detach()
    assert transform.fold(model)
    assert float((outputs(model, tokenizer) - live).abs().max()) < 1e-4
    for layer in layers_of(model):
        whole = weights[next(n for n, p in model.named_parameters() if p is layer.output.module.weight)]
        for head in range(layer.heads):
            expected = whole[:, layer.head_columns(head)] * (1.0 if kept[layer.number, head] else 1.0 - strength)
            assert torch.allclose(layer.output.weight()[:, layer.head_columns(head)], expected, atol=1e-7)


def test_strength_0_puts_nothing_in(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    plugin = MovementPruning(strength=0.0)
    assert plugin.architecture(run, model) is None and plugin.objective(run, model) is None


def test_scores_that_moved_and_shut_no_head_are_no_effect(tmp_path: Path, own_cache: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The nurse asked her friend.\nThe doctor told his son.\n" * 4, encoding="utf-8")
    recipe = {
        "model": {"name": str(save_tiny(tmp_path / "model"))},
        "data": {"train": str(text)},
        "training": {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, "warmup": 0.0},
        "benchmarks": [{"use": "perplexity", "text": "builtin:heldout", "words": 20}],
        "steps": [{"use": "movement-pruning"}, {"use": "train"}],
    }
    with pytest.raises(NoEffect, match="largest change of a logit on probes: 0"):
        evenhand.run(recipe, output=tmp_path / "runs")

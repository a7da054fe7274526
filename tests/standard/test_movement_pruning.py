"""Movement pruning: gates and gradients by hand, the schedule, what is left behind a training, strength 0."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

import evenhand
from evenhand.errors import NoEffect, UsageError
from evenhand_sdk import Artifact
from evenhand_sdk.testing import train
from evenhand_sdk.tiny import save_tiny
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.movement_pruning import (
    FLOOR,
    MovementPruning,
    Scores,
    lowest,
    reach,
    scheduled,
)


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
    plugin = MovementPruning(cut="threshold", strength=strength, penalty=100.0)  # shuts heads in six steps
    term, transform = plugin.objective(run, model), plugin.architecture(run, model)
    transform.apply(model, Artifact())
    heads = sum(layer.heads for layer in layers_of(model))
    assert float(term.fn(None, None).detach()) == pytest.approx(0.5 * heads)
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


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_no_more_than_the_share_goes_and_only_what_the_losses_want_away(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind, learning_rate=1e-3, max_steps=4)  # a low rate ranks as a high one does
    plugin = MovementPruning(share=0.3)
    term, transform = plugin.objective(run, model), plugin.architecture(run, model)
    transform.apply(model, Artifact())
    train(run, [term], transforms=[transform])
    artifact = transform.finish(model)
    scores, kept = artifact.tensors["scores"], artifact.tensors["kept"]
    ranked = sorted((float(scores[k, h]), k, h) for k in range(scores.shape[0]) for h in range(scores.shape[1]))
    gone = [[k, h] for score, k, h in ranked[: int(0.3 * kept.numel())] if score < 0]
    assert gone and sorted(gone) == artifact.meta["pruned"]
    assert artifact.meta["scores below 0"] == int((scores < 0).sum())


def test_the_lowest_scores_by_hand() -> None:
    scores = torch.tensor([[0.5, -0.1, -3.0], [-0.2, 0.0, -0.3]])
    assert lowest(scores, 0.5) == pytest.approx(-0.2)
    assert lowest(scores, 0.01) == -3.0, "at least one"
    assert lowest(scores, 0.99) == pytest.approx(-0.1), "none that is not below 0"
    assert lowest(scores, 0.0) == lowest(scores.abs(), 0.5) == FLOOR


def test_how_far_scores_go_is_the_sum_of_the_rates_of_the_schedule() -> None:
    import transformers

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, 3, 31)
    total = 0.0
    for _ in range(31):
        total += schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
    assert reach(0.3, 0.1, 31) == pytest.approx(total)


def test_a_threshold_that_no_score_can_reach_is_refused_before_the_training(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer, learning_rate=0.1, max_steps=12, warmup=0.0)
    transform = MovementPruning(cut="threshold").architecture(run, model)
    transform.apply(model, Artifact())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(UsageError) as caught:
        train(run, transforms=[transform])
    told = str(caught.value)
    assert "no score can reach the threshold 0.1: it is 2.20 below the beginning, and 12 updates at" in told
    assert "learning_rate = 0.1 move a score by 0.6 at most" in told
    assert 'set learning_rate to 0.37 or more, take more updates, or set cut = "share"' in told
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_scores_that_moved_and_shut_no_head_are_no_effect(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the losses want every head: no score is below 0."""
    from evenhand_standard.architecture import movement_pruning

    monkeypatch.setattr(movement_pruning, "lowest", lambda scores, share: FLOOR)
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


def test_an_option_of_the_other_cut_is_no_option_of_this_one() -> None:
    with pytest.raises(UsageError, match='threshold decides nothing with cut = "share"; set cut = "threshold"'):
        MovementPruning(threshold=0.2)
    with pytest.raises(UsageError, match='share decides nothing with cut = "threshold"; set cut = "share"'):
        MovementPruning(cut="threshold", share=0.2)

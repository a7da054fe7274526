"""Gated steering: probe and direction against plain computations, where the gate acts, saving, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand_sdk import UsageError, load_axis
from evenhand_standard.architecture.activation_steering import ActivationSteering
from evenhand_standard.architecture.group_pairs import fitting_pairs
from evenhand_standard.architecture.logistic_probe import L2, Probe, balanced_accuracy, fit_probe

QUICK = {"pairs": 120, "least_accuracy": 0.0, "layers": (0.0, 1.0)}
TEXT = "The nurse said that she was good at home"


def states_of(model: Any, tokenizer: Any, text: str, layer: int) -> torch.Tensor:
    seen: list[Any] = []
    layers = model.model.layers if hasattr(model, "model") else model.bert.encoder.layer
    handle = layers[layer].register_forward_hook(lambda m, a, out: seen.append(out))
    with torch.no_grad():
        model(**tokenizer(text, return_tensors="pt"))
    handle.remove()
    return (seen[0][0] if isinstance(seen[0], tuple) else seen[0])[0]


def test_the_probe_is_where_the_gradient_of_the_balanced_loss_is_zero() -> None:
    draw = torch.Generator().manual_seed(4)
    y = (torch.rand(90, generator=draw) < 0.3).double()
    x = torch.randn(90, 5, generator=draw, dtype=torch.float64) * torch.tensor([1.0, 3.0, 0.2, 1.0, 5.0]) + 2
    x[:, 0] += 1.5 * y
    probe = fit_probe(x, y)
    scale = x.std(0)
    weight = (probe.weight.double() * scale).requires_grad_()
    bias = (probe.bias.double() + probe.weight.double() @ x.mean(0)).requires_grad_()
    odds = (x - x.mean(0)) / scale @ weight + bias
    each = torch.nn.functional.binary_cross_entropy_with_logits(odds, y, reduction="none")
    (0.5 * each[y == 1].mean() + 0.5 * each[y == 0].mean() + L2 / 2 * weight @ weight).backward()
    assert float(weight.grad.abs().max()) < 1e-6 and abs(float(bias.grad)) < 1e-6
    called = probe(x) > 0
    expected = (float((called & (y == 1)).sum() / y.sum()) + float((~called & (y == 0)).sum() / (1 - y).sum())) / 2
    assert balanced_accuracy(probe, x, y) == pytest.approx(expected)
    assert expected > 0.7


def test_a_probe_finds_separated_classes() -> None:
    x = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    probe = fit_probe(x, torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert (probe(x) > 0).tolist() == [False, False, True, True]


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_direction_and_gate(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    transform = ActivationSteering(strength=0.5, amount=3.0, **QUICK).architecture(
        run_of(model, tokenizer, kind), model
    )
    artifact = transform.fit(model)
    layer = artifact.meta["layer"]
    assert set(artifact.meta["accuracy"]) == {"0", "1"}
    assert artifact.meta["accuracy"][str(layer)] == max(artifact.meta["accuracy"].values())
    special = set(tokenizer.all_special_ids)
    apart = []
    for pair in fitting_pairs(load_axis("gender"), 120):
        if pair.association == "none":
            continue
        last = []
        for text in pair.texts:
            place = max(t for t, i in enumerate(tokenizer(text)["input_ids"]) if i not in special)
            last.append(states_of(model, tokenizer, text, layer)[place].double())
        tied = pair.groups.index(pair.association)
        apart.append(last[1 - tied] - last[tied])
    direction = artifact.tensors["direction"]
    assert torch.allclose(direction.double(), torch.stack(apart).mean(0), atol=1e-5)
    before = states_of(model, tokenizer, TEXT, layer)
    fires = (before @ artifact.tensors["probe.weight"] + artifact.tensors["probe.bias"]) > 0
    assert 0 < int(fires.sum()) < len(fires), "a text on which the gate says both"
    transform.apply(model, artifact)
    after = states_of(model, tokenizer, TEXT, layer)
    assert torch.allclose(after[fires], before[fires] + 1.5 * direction, atol=1e-6)
    assert torch.equal(after[~fires], before[~fires])
    transform.revert(model)
    assert torch.equal(states_of(model, tokenizer, TEXT, layer), before)


def test_without_a_gate_every_state_moves_and_at_0_none(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    open_gate = ActivationSteering(gated=False, **QUICK).architecture(run, model)
    artifact = open_gate.fit(model)
    layer = artifact.meta["layer"]
    before = states_of(model, tokenizer, TEXT, layer)
    open_gate.apply(model, artifact)
    moved = states_of(model, tokenizer, TEXT, layer) - before
    assert torch.allclose(moved, artifact.tensors["direction"].expand_as(moved), atol=1e-6)
    open_gate.revert(model)
    nothing = ActivationSteering(strength=0.0).architecture(run, model)
    nothing.apply(model, nothing.fit(model))
    assert torch.equal(states_of(model, tokenizer, TEXT, layer), before)


def test_what_is_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    with pytest.raises(UsageError, match="too few stereotyped sentences"):
        ActivationSteering(pairs=10).architecture(run, model).fit(model)
    with pytest.raises(UsageError, match="no layer tells stereotyped sentences from others"):
        ActivationSteering(pairs=120, least_accuracy=0.99).architecture(run, model).fit(model)
    with pytest.raises(UsageError, match="no occupations are known to be tied to groups of the axis 'religion'"):
        ActivationSteering(axis="religion").architecture(run, model).fit(model)
    transform = ActivationSteering(**QUICK).architecture(run, model)
    artifact = transform.fit(model)
    wider = {**artifact.tensors, "direction": torch.zeros(7)}
    with pytest.raises(UsageError, match="states of width 7"):
        transform.apply(model, type(artifact)(tensors=wider, meta=artifact.meta))


def test_a_probe_survives_as_tensors() -> None:
    probe = Probe(torch.tensor([1.0, 2.0]), torch.tensor(-0.5))
    again = Probe.read(probe.tensors())
    assert float(again(torch.tensor([1.0, 1.0]))) == 2.5

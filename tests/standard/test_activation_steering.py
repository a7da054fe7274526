"""Gated steering: probe and direction against plain computations, where the gate acts, saving, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand_sdk import UsageError, load_axis
from evenhand_standard.architecture.activation_steering import (
    ActivationSteering,
    Cell,
    cells_of,
    direction_of,
    judged,
    judges,
    shares_of,
)
from evenhand_standard.architecture.group_pairs import GroupPair, fitting_pairs
from evenhand_standard.architecture.logistic_probe import L2, Probe, fit_probe

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
    assert float((called & (y == 1)).sum() / y.sum()) > 0.7 < float((~called & (y == 0)).sum() / (1 - y).sum())
    twice = torch.cat([x, x[y == 1]]), torch.cat([y, y[y == 1]])
    first = torch.where(y == 1, 0.25 / y.sum(), 0.5 / (1 - y).sum())
    shares = torch.cat([first, first[y == 1]])
    again = fit_probe(*twice, shares, L2)
    moved = (twice[0] - twice[0].mean(0)) / twice[0].std(0)
    weight = (again.weight.double() * twice[0].std(0)).requires_grad_()
    bias = (again.bias.double() + again.weight.double() @ twice[0].mean(0)).requires_grad_()
    each = torch.nn.functional.binary_cross_entropy_with_logits(moved @ weight + bias, twice[1], reduction="none")
    (shares @ each + L2 / 2 * weight @ weight).backward()
    assert float(weight.grad.abs().max()) < 1e-6 and abs(float(bias.grad)) < 1e-6


PLANTED = [
    GroupPair(("", ""), ("female", "male"), "", f"{kind}{n}", kind)
    for kind, count in (("female", 12), ("male", 5), ("none", 10))
    for n in range(count)
]
"""More occupations are tied to women than to men, as in the pair bank."""


def hears(rule: Any) -> tuple[Probe, torch.Tensor]:
    """A probe that follows a rule about (association, group), and the states [n, 1] of the planted pairs for it."""
    return Probe(torch.ones(1), torch.zeros(())), torch.tensor([[1.0 if rule(c) else -1.0] for c in cells_of(PLANTED)])


@pytest.mark.parametrize(
    ("rule", "accuracy", "spared"),
    [
        (lambda cell: cell.group == "female", 0.5, 0.5),
        (lambda cell: cell.association == "female", 0.5, 1.0),
        (lambda cell: cell.association != "none", 0.5, 1.0),
        (lambda cell: False, 0.5, 1.0),
        (lambda cell: cell.biased, 1.0, 1.0),
        (lambda cell: cell.biased or cell.association == "none", 1.0, 0.0),
    ],
)
def test_a_gate_that_hears_the_group_or_the_occupation_alone_is_at_chance(
    rule: Any, accuracy: float, spared: float
) -> None:
    held = [pair.occupation in judges(PLANTED) for pair in PLANTED for _ in pair.texts]
    probe, states = hears(rule)
    assert judged(probe, states, cells_of(PLANTED), held) == (accuracy, spared)


def test_each_association_is_held_out_and_every_cell_of_a_class_counts_alike() -> None:
    judging = judges(PLANTED)
    assert sorted(judging) == ["female0", "female3", "female8", "male0", "none0", "none5"]  # each fifth, by alphabet
    held = [pair.occupation in judging for pair in PLANTED for _ in pair.texts]
    cells = cells_of(PLANTED)
    sums: dict[Cell, float] = {}
    for cell, share in zip(cells, shares_of(cells, held), strict=True):
        sums[cell] = sums.get(cell, 0.0) + share
    assert sums == {
        Cell(kind, group): pytest.approx(0.25 if kind == group else 0.125)
        for kind in ("female", "male", "none")
        for group in ("female", "male")
    }


def test_the_group_of_a_sentence_cancels_whatever_the_number_of_pairs() -> None:
    """States are group + 10 mismatch: only the mismatch is left."""
    states = torch.tensor(
        [
            [1.0 if cell.group == "female" else -1.0, 10.0 * (cell.group != cell.association), 0.0]
            for cell in cells_of(PLANTED)
        ]
    )
    assert direction_of(states, PLANTED).tolist() == [0.0, 10.0, 0.0]


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
    apart: dict[str, list[torch.Tensor]] = {}
    for pair in fitting_pairs(load_axis("gender"), 120):
        if pair.association == "none":
            continue
        last = []
        for text in pair.texts:
            place = max(t for t, i in enumerate(tokenizer(text)["input_ids"]) if i not in special)
            last.append(states_of(model, tokenizer, text, layer)[place].double())
        tied = pair.groups.index(pair.association)
        apart.setdefault(pair.association, []).append(last[1 - tied] - last[tied])
    direction = artifact.tensors["direction"]
    assert torch.allclose(direction.double(), sum(torch.stack(v).mean(0) for v in apart.values()) / 2, atol=1e-5)
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

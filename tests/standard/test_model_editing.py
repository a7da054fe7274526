"""Closed-form editing: the edit against least squares, what it does to pairs and to plain text, folding, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from family_models import TYPES, family_model, tokens

from evenhand_sdk import UsageError
from evenhand_standard.architecture.labelled_states import Labelled
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.linear_patches import LivePatches
from evenhand_standard.architecture.model_editing import RIDGE, Keys, ModelEditing, edit, share_left


def drawn(pairs: int, width: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Keys of one side and the other [pairs, width], of plain text [50, width], and a matrix [4, width]."""
    draw = torch.Generator().manual_seed(2)
    shapes = ((pairs, width), (pairs, width), (50, width), (4, width))
    return tuple(torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes)  # type: ignore[return-value]


def summed(left: torch.Tensor, right: torch.Tensor, plain: torch.Tensor) -> Keys:
    """As they stream by: two sentences of a pair one behind the other, in two batches."""
    keys, half = Keys(left.shape[1]), len(left) // 2
    for part in (slice(0, half), slice(half, None)):
        states = torch.stack([left[part], right[part]])
        places = tuple(range(states.shape[1]))
        keys.add_pairs(states, [Labelled(places, places, 0, 0), Labelled(places, places, 1, 0)])
    keys.add_plain(plain[None], [Labelled((0,) * 50, tuple(range(50)), 0, 0)])
    return keys


@pytest.mark.parametrize("preserve", [0.3, 2.0])
def test_the_edit_is_the_least_squares_solution(preserve: float) -> None:
    left, right, plain, weight = drawn(40)
    every = torch.cat([left, right])
    values = (left @ weight.T + right @ weight.T) / 2
    residual = torch.cat([values, values]) - every @ weight.T
    width = left.shape[1]
    metric = every.T @ every / 80 + preserve * plain.T @ plain / 50
    ridge = (RIDGE * metric.trace() / width) ** 0.5 * torch.eye(width, dtype=torch.float64)
    stacked = torch.cat([every / 80**0.5, preserve**0.5 * plain / 50**0.5, ridge])
    target = torch.cat([residual / 80**0.5, torch.zeros(50 + width, 4, dtype=torch.float64)])
    expected = torch.linalg.lstsq(stacked, target).solution.T
    assert torch.allclose(edit(weight, summed(left, right, plain), preserve).double(), expected, atol=1e-6)


def test_few_pairs_get_equal_values_and_plain_text_keeps_its_own() -> None:
    left, right, plain, weight = drawn(1, width=60)
    keys = Keys(60)
    one = (0,)
    keys.add_pairs(torch.stack([left, right]), [Labelled(one, one, 0, 0), Labelled(one, one, 1, 0)])
    free = edit(weight, keys, 0.0).double()
    assert torch.allclose((weight + free) @ left[0], (weight + free) @ right[0], atol=2e-2)
    assert torch.allclose((weight + free) @ left[0], weight @ (left[0] + right[0]) / 2, atol=2e-2)
    assert share_left(weight, free.float(), keys) < 0.01
    keys.add_plain(plain[None], [Labelled((0,) * 50, tuple(range(50)), 0, 0)])
    kept = edit(weight, keys, 100.0).double()
    assert float((plain @ kept.T).norm()) < 0.1 * float((plain @ free.T).norm())


@pytest.mark.parametrize("model_type", TYPES)
def test_folded_is_live_and_revert_restores_the_bits(model_type: str) -> None:
    model = family_model(model_type)

    def outputs() -> torch.Tensor:
        with torch.no_grad():
            return model(input_ids=tokens()).logits

    before = outputs()
    shape = layers_of(model)[1].feed_forward_out.weight().shape
    patch = 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    live = LivePatches("step", 0.7)
    live.put(model, {1: patch})
    patched = outputs()
    live.take(model)
    assert torch.equal(outputs(), before)
    live.put(model, {1: patch})
    assert live.fold(model)
    assert float((patched - before).abs().max()) > 1e-3
    assert float((outputs() - patched).abs().max()) < 1e-4
    with pytest.raises(UsageError, match=r"the edit of layer 1 is for a matrix of \(2, 2\)"):
        live.put(model, {1: torch.zeros(2, 2)})
    with pytest.raises(UsageError, match="the model has 3 layers"):
        live.put(model, {9: patch})


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_it_draws_the_values_of_the_groups_together(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind)

    def outputs() -> torch.Tensor:
        with torch.no_grad():
            return model(**tokenizer("The nurse said that she was good", return_tensors="pt")).logits

    before = outputs()
    transform = ModelEditing(pairs=32, texts=8, layers=(0.0, 1.0)).architecture(run, model)
    artifact = transform.fit(model)
    assert torch.equal(outputs(), before), "the fit leaves the model as it was"
    assert set(artifact.tensors) == {"0.edit", "1.edit"}
    assert all(0 < left < 1 for left in artifact.meta["difference left"].values())
    transform.apply(model, artifact)
    assert not torch.equal(outputs(), before)
    transform.revert(model)
    assert torch.equal(outputs(), before)
    nothing = ModelEditing(strength=0.0).architecture(run, model)
    nothing.apply(model, nothing.fit(model))
    assert nothing.fold(model) and torch.equal(outputs(), before)


def test_what_is_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    with pytest.raises(UsageError, match="too few hidden states to fit on"):
        ModelEditing(pairs=1).architecture(run_of(model, tokenizer), model).fit(model)
    with pytest.raises(UsageError, match="layers begin at 0.9 of the depth, behind their end, 0.1"):
        ModelEditing(layers=(0.9, 0.1))

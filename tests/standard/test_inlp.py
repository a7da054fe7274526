"""INLP on a tiny model: directions against classifiers fitted one by one, what is left, folding, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evenhand_sdk import UsageError, load_axis
from evenhand_standard.architecture.group_pairs import fitting_pairs
from evenhand_standard.architecture.inlp import Inlp


def states_behind_the_last_layer(model: Any, tokenizer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Every token from the first difference of each pair on, read one sentence at a time: [n, H] and the group [n]."""
    rows, groups = [], []
    layers = model.model.layers if hasattr(model, "model") else model.bert.encoder.layer
    special = set(tokenizer.all_special_ids)
    for pair in fitting_pairs(load_axis("gender"), 16):
        sides = [tokenizer(text)["input_ids"] for text in pair.texts]
        first = next(k for k, (a, b) in enumerate(zip(*sides, strict=False)) if a != b)
        for group, ids in zip(pair.groups, sides, strict=True):
            seen: list[Any] = []
            handle = layers[-1].register_forward_hook(lambda m, a, out, seen=seen: seen.append(out))
            with torch.no_grad():
                model(input_ids=torch.tensor([ids]))
            handle.remove()
            out = (seen[0][0] if isinstance(seen[0], tuple) else seen[0])[0]
            start = first if hasattr(model, "model") else 0
            kept = [t for t in range(start, len(ids)) if ids[t] not in special]
            rows.append(out[kept])
            groups += [float(group == "female")] * len(kept)
    return torch.cat(rows).double(), torch.tensor(groups, dtype=torch.float64)


def outputs(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer("The nurse said that she was good at home", return_tensors="pt")).logits


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_each_round_is_a_ridge_classifier_in_what_the_rounds_before_left(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    model.double()  # weak classifiers magnify the rounding of a batch
    x, z = states_behind_the_last_layer(model, tokenizer)
    wide, centred = x - x.mean(0), z - z.mean()
    width = x.shape[1]
    ridge = 1e-3 * (wide**2).sum() / len(x) / width
    kept, expected = torch.eye(width, dtype=torch.float64), []
    for _ in range(3):
        seen = wide @ kept
        w = torch.linalg.solve(seen.T @ seen / len(x) + ridge * torch.eye(width), seen.T @ centred / len(x))
        expected.append(w / w.norm())
        kept = kept @ (torch.eye(width, dtype=torch.float64) - torch.outer(expected[-1], expected[-1]))
    transform = Inlp(pairs=16, rounds=3).architecture(run_of(model, tokenizer, kind), model)
    artifact = transform.fit(model)
    assert artifact.meta["sites"] == ["1.residual"] and artifact.meta["states"] == len(x)
    found = artifact.tensors["1.residual.right"].double()
    for k, direction in enumerate(expected):
        assert abs(float(found[k] @ direction)) == pytest.approx(1.0, abs=1e-4)
    transform.apply(model, artifact)
    left, _ = states_behind_the_last_layer(model, tokenizer)
    assert torch.allclose(left @ found.T, torch.zeros(len(left), 3, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(left, x - (x @ found.T) @ found, atol=1e-4), "and nothing else has changed"


def test_strength_scales_and_revert_restores_the_bits(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    before = outputs(model, tokenizer)
    x, _ = states_behind_the_last_layer(model, tokenizer)
    transform = Inlp(pairs=16, rounds=2, strength=0.25).architecture(run_of(model, tokenizer), model)
    artifact = transform.fit(model)
    transform.apply(model, artifact)
    found = artifact.tensors["1.residual.right"].double()
    left, _ = states_behind_the_last_layer(model, tokenizer)
    assert torch.allclose(left @ found.T, 0.75 * x @ found.T, atol=1e-4)
    assert not transform.fold(model), "no weight holds it on the residual stream"
    transform.revert(model)
    assert torch.equal(outputs(model, tokenizer), before)
    nothing = Inlp(strength=0.0).architecture(run_of(model, tokenizer), model)
    nothing.apply(model, nothing.fit(model))
    assert torch.equal(outputs(model, tokenizer), before)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_after_norm_it_is_folded_without_biases(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    names = {name for name, _ in model.named_parameters()}
    plugin = Inlp(pairs=16, rounds=2, form="after-norm", layers=(0.0, 1.0))
    transform = plugin.architecture(run_of(model, tokenizer, kind), model)
    before = outputs(model, tokenizer)
    transform.apply(model, transform.fit(model))
    live = outputs(model, tokenizer)
    assert transform.fold(model)
    folded = outputs(model, tokenizer)
    assert float((live - before).abs().max()) > 1e-4
    assert float((folded - live).abs().max()) < 1e-4
    assert {name for name, _ in model.named_parameters()} == names
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_what_is_refused(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    width = model.config.hidden_size
    with pytest.raises(UsageError, match=f"{width + 1} rounds of 1 directions are more than the width of the states"):
        Inlp(pairs=16, rounds=width + 1).architecture(run, model).fit(model)
    with pytest.raises(UsageError, match="too few hidden states to fit on"):
        Inlp(pairs=1).architecture(run, model).fit(model)
    with pytest.raises(UsageError, match="folded into weights, which act at every word"):
        Inlp(form="after-norm", positions="neutral")

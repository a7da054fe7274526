"""Increased dropout on every family: the rates that are set, what acts in training only, what is left afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from family_models import TYPES, family_model, tokens

from evenhand_sdk import Artifact
from evenhand_sdk.testing import train
from evenhand_standard.architecture.dropout import Dropout, Raised
from evenhand_standard.architecture.low_rank import LiveLora, LoraSettings


def outputs(model: Any, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    with torch.no_grad():
        return model(input_ids=tokens()).logits


def rates(model: Any) -> dict[str, float]:
    """Every dropout rate of the layers, by path."""
    found = {}
    for path, module in model.named_modules():
        if "layer" not in path and ".h." not in path:
            continue
        if isinstance(module, torch.nn.Dropout):
            found[path] = module.p
        for name in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                found[f"{path}.{name}"] = getattr(module, name)
    return found


@pytest.mark.parametrize("model_type", TYPES)
def test_it_drops_in_training_only_and_leaves_nothing_behind(model_type: str) -> None:
    model = family_model(model_type)
    before, own = outputs(model), rates(model)
    raised = Raised()
    raised.put(model, 0.3, 0.5, 1.0)
    assert torch.equal(outputs(model), before), "not while the model is used"
    model.train()
    first = outputs(model, seed=1)
    assert float((first - before).abs().max()) > 1e-2
    assert torch.equal(outputs(model, seed=1), first) and not torch.equal(outputs(model, seed=2), first)
    model.eval()
    raised.take(model)
    assert rates(model) == own
    assert torch.equal(outputs(model), before)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(("model_type", "kinds"), [("bert", {0.15, 0.2}), ("gpt2", {0.15, 0.2}), ("llama", {0.15})])
def test_the_rates_by_name(model_type: str, kinds: set[float]) -> None:
    model = family_model(model_type)
    Raised().put(model, 0.15, 0.2, 1.0)
    found = rates(model)
    assert set(found.values()) == kinds
    for path, rate in found.items():
        probabilities = path.endswith(("attn_dropout", "attention_dropout", "self.dropout", "dropout_prob"))
        assert rate == (0.15 if probabilities else 0.2), path


def test_strength_is_a_straight_line() -> None:
    model = family_model("bert")
    own = rates(model)
    Raised().put(model, 0.5, 0.3, 0.25)
    for path, rate in rates(model).items():
        aim = 0.5 if path.endswith(("self.dropout", "dropout_prob")) else 0.3
        assert rate == pytest.approx(own[path] + 0.25 * (aim - own[path]))


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_training_with_it_learns_otherwise(kind: str, tiny: Any, run_of: Any) -> None:
    def learnt(plugin: Dropout | None) -> list[torch.Tensor]:
        model, tokenizer = tiny(kind)
        run = run_of(model, tokenizer, kind)
        transform = plugin.architecture(run, model) if plugin else None
        if transform is not None:
            transform.apply(model, Artifact())
        train(run, transforms=[transform] if transform is not None else [])
        if transform is not None:
            facts = transform.finish(model).meta
            assert facts["rates changed"] + facts["places given dropout"] > 0
        return [p.detach().clone() for p in model.parameters()]

    plain, dropped, nothing = learnt(None), learnt(Dropout(hidden=0.5)), learnt(Dropout(strength=0.0))
    assert any(not torch.equal(a, b) for a, b in zip(plain, dropped, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(plain, nothing, strict=True))


def with_lora(model: Any) -> None:
    LiveLora("lora", LoraSettings(rank=2, dropout=0.4)).put(model, 0)


def with_adapter(model: Any) -> None:
    pytest.importorskip("adapters", exc_type=ImportError)
    from evenhand_adapterfusion import bottleneck

    bottleneck.add(model, "gender", bottleneck.adapter_config("pfeiffer", 4.0, "gelu"), 0)
    for part in bottleneck.modules(model, "gender"):
        part.dropout.p = 0.4


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("other", [with_lora, with_adapter])
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gpt2", "bert"])
def test_beside_another_step_the_models_own_states_are_dropped(model_type: str, other: Any, first: bool) -> None:
    """In either order, and what the other step has added keeps its own rate."""
    model, alone, raised, expected = family_model(model_type), family_model(model_type), Raised(), Raised()
    expected.put(alone, 0.0, 0.9, 1.0)
    if first:
        other(model)
    raised.put(model, 0.0, 0.9, 1.0)
    if not first:
        other(model)
    assert len(raised.hooks.handles) == len(expected.hooks.handles)
    assert len(raised.before) == len(expected.before)
    found = rates(model)
    assert {path: rate for path, rate in found.items() if path in rates(alone)} == rates(alone)
    added = {rate for path, rate in found.items() if path not in rates(alone)}
    assert added == {0.4}
    model.train()
    assert not torch.equal(outputs(model, seed=1), outputs(model, seed=2))


def test_in_llama_states_are_dropped_behind_both_matrices_of_each_layer_beside_lora() -> None:
    """Of the two trained passes only the hidden states can make a difference: nothing else drops."""
    model = family_model("llama")
    LiveLora("lora", LoraSettings(rank=2, dropout=0.0)).put(model, 0)
    raised = Raised()
    raised.put(model, 0.0, 0.9, 1.0)
    assert len(raised.hooks.handles) == 2 * model.config.num_hidden_layers
    model.train()
    assert not torch.equal(outputs(model, seed=1), outputs(model, seed=2))
    raised.take(model)
    assert torch.equal(outputs(model, seed=1), outputs(model, seed=2))

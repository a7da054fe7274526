"""A fusion that is done learning gives what the library's own way gives, from products that are made once."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_host import FAMILIES
from test_adapter_fusion import NAMES, REFERENCES, three_adapters

pytest.importorskip("adapters", exc_type=ImportError)

from evenhand_adapterfusion import bottleneck, folded_fusion, fusion_layers, using
from evenhand_adapterfusion.adapter_fusion import AdapterFusion
from evenhand_adapterfusion.adapter_sum import AdapterSum
from evenhand_sdk.tiny import tiny_causal

IDS = torch.tensor([[5, 6, 7, 8], [9, 4, 3, 2]])


def rough(model: Any, size: float = 0.1) -> None:
    """Adapters and fusions far from where they began."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "adapter" in name:
                p.add_(size * torch.randn(p.shape, generator=draw))


def outputs(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def of_the_library(model: Any) -> torch.Tensor:
    """A gradient could be asked for, so nothing is multiplied out."""
    with torch.enable_grad():
        found: torch.Tensor = model(input_ids=IDS).logits.detach()
    return found


@pytest.mark.parametrize("placement", ["pfeiffer", "houlsby"])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_librarys_but_for_rounding(host: Any, family: str, placement: str) -> None:
    run = three_adapters(host, family, placement=placement)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    rough(run.model)
    base = outputs(run.base)
    for names in (NAMES, NAMES[:2], NAMES[2:], []):
        with using(run.model, names):
            found, expected = outputs(run.model), of_the_library(run.model)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
        assert torch.equal(found, base) == (not names)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sum_is_the_formula_too(host: Any, family: str) -> None:
    run = three_adapters(host, family)
    run.step(AdapterSum, "sum", adapters=REFERENCES, weights=[0.5, -1.0, 0.0])
    rough(run.model)
    for names in (NAMES, NAMES[:1]):
        with using(run.model, names):
            expected = of_the_library(run.model)
            torch.testing.assert_close(outputs(run.model), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_nothing_of_size_h_by_h_is_multiplied_and_weights_that_change_count(host: Any) -> None:
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    seen: list[str] = []
    for module in fusion_layers.modules(run.model, "fusion"):
        for part in (module.query, module.key, module.value):
            part.register_forward_hook(lambda *_: seen.append("a product of H x H"))
    outputs(run.model)
    assert seen == []
    before = outputs(run.model)
    fusion_layers.scale(run.model, "fusion", 0.5)
    bottleneck.scale(run.model, "task", 0.3)
    assert not torch.equal(outputs(run.model), before)
    torch.testing.assert_close(outputs(run.model), of_the_library(run.model), rtol=0, atol=1e-5)


def test_what_a_training_moves_is_never_answered_from_before(host: Any) -> None:
    """Also where the optimiser moves weights without a trace, as fused ones do; and when frozen weights learn again."""
    run = three_adapters(host)
    transform = run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    outputs(run.model)
    run.learn()
    torch.testing.assert_close(outputs(run.model), of_the_library(run.model), rtol=0, atol=1e-5)
    before = outputs(run.model)
    moving = [p for n, p in run.model.named_parameters() if n in set(transform.trainable(run.model))]
    for p in moving:
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(moving, lr=0.05, fused=True)
    run.model(input_ids=IDS, labels=IDS).loss.backward()
    outputs(run.model)
    optimizer.step()
    for p in moving:
        p.requires_grad_(False)
    after = outputs(run.model)
    assert float((after - before).abs().max()) > 1e-4
    torch.testing.assert_close(after, of_the_library(run.model), rtol=0, atol=1e-5)


def test_products_that_are_made_under_mixed_precision_are_whole(host: Any) -> None:
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    rough(run.model)
    with torch.autocast("cpu", torch.bfloat16):
        outputs(run.model)
    expected = of_the_library(run.model)
    again = copy.deepcopy(run.model)  # with products of its own
    with torch.autocast("cpu", torch.bfloat16):
        outputs(again)
    found = outputs(again)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_copy_has_products_of_its_own_and_taking_it_back_leaves_none(host: Any) -> None:
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    before = outputs(run.model)
    other = copy.deepcopy(run.model)
    rough(other)
    assert torch.equal(outputs(run.model), before)
    torch.testing.assert_close(outputs(other), of_the_library(other), rtol=0, atol=1e-5)
    fusion_layers.remove(run.model, "fusion")
    assert not any(folded_fusion.PLACE in vars(layer) for layer in bottleneck.layers(run.model))


def test_a_learning_fusion_is_left_to_the_library(host: Any) -> None:
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    layer = next(layer for layer in bottleneck.layers(run.model) if folded_fusion.PLACE in vars(layer))
    run.model.train()
    outputs(run.model)
    of_the_library(run.model)
    assert vars(layer)[folded_fusion.PLACE]._kept == {}


@pytest.mark.parametrize("name", ["adapter-fusion of three", "adapter-sum of three"])
def test_the_benchmark_times_products(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "performance"))
    benchmark = importlib.import_module("architecture")
    model, tokenizer = tiny_causal()
    loaded = SimpleNamespace(model=model, tokenizer=tokenizer, info=SimpleNamespace(kind="causal"))
    made = benchmark.with_adapters(loaded, benchmark.ADAPTERS[name])
    with pytest.raises(SystemExit, match="the fusion is not multiplied out"):
        benchmark.demand_products(made)  # nothing has passed yet
    outputs(made)
    benchmark.demand_products(made)
    of_the_library(made)
    with pytest.raises(SystemExit, match="the fusion is not multiplied out"):
        benchmark.demand_products(made)

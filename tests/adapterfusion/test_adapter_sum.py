"""The sum is what its formula says, is switched as a fusion is, and comes back from a finished run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from small_host import FAMILIES, Host
from test_adapterfusion_run import installed, recipe  # noqa: F401 - a fixture

from evenhand_adapterfusion import active, available, bottleneck, fusion_layers, set_active, using
from evenhand_adapterfusion.adapter_fusion import AdapterFusion
from evenhand_adapterfusion.adapter_sum import AdapterSum
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_adapterfusion.task_adapter import TaskAdapter
from evenhand_sdk import Artifact, UsageError

NAMES = ["gender", "religion", "task"]
REFERENCES = [f"step:{n}" for n in NAMES]


def three_adapters(host: Any, family: str = "llama", **options: Any) -> Host:
    run: Host = host(family)
    for kind, name in ((DebiasingAdapter, "gender"), (DebiasingAdapter, "religion"), (TaskAdapter, "task")):
        run.step(kind, name, reduction=4, **options)
        run.learn()
    return run


def summed(run: Host, **options: Any) -> Any:
    transform = run.declare(AdapterSum, "sum", **{"adapters": REFERENCES, **options})
    transform.apply(run.model, Artifact())
    return transform


@pytest.mark.parametrize("placement", ["pfeiffer", "houlsby"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_output_of_every_layer_is_the_formula(host: Any, family: str, placement: str) -> None:
    """h + 0.5 (2 z_1 - z_2 + 0.25 z_3), with z_n worked out from each adapter's own matrices."""
    import torch

    run = three_adapters(host, family, placement=placement)
    summed(run, weights=[2.0, -1.0, 0.25], strength=0.5)
    seen: list[Any] = []
    parts = fusion_layers.modules(run.model, "sum")
    layers = [layer for layer in bottleneck.layers(run.model) if "sum" in layer.adapter_fusion_layer]
    entered: dict[Any, Any] = {}
    for layer in layers:
        layer.adapter_fusion_layer["sum"].register_forward_hook(
            lambda m, i, o, layer=layer: seen.append((i[3], o, layer))
        )
        for name in NAMES:
            layer.adapters[name].register_forward_hook(lambda m, i, o: entered.__setitem__(m, i[0]))
    run.logits()
    assert len(seen) == len(parts) == (4 if placement == "houlsby" else 2)
    for residual, out, layer in seen:
        expected = residual.clone()
        for name, weight in zip(NAMES, (1.0, -0.5, 0.125), strict=True):
            adapter = layer.adapters[name]
            norm, down = adapter.adapter_down[0], adapter.adapter_down[1]
            z = torch.nn.functional.gelu(down(norm(entered[adapter])))
            expected = expected + weight * (z @ adapter.adapter_up.weight.T + adapter.adapter_up.bias)
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_adapter_with_weight_1_is_that_adapter(host: Any, family: str) -> None:
    import torch

    run = three_adapters(host, family)
    with using(run.model, "religion"):
        alone = run.logits()
    summed(run, weights=[0.0, 1.0, 0.0])
    torch.testing.assert_close(run.logits(), alone)
    assert not torch.equal(alone, run.logits(run.base))


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"weights": [0.0, 0.0, 0.0]}])
@pytest.mark.parametrize("family", FAMILIES)
def test_at_strength_0_it_is_the_base_model(host: Any, family: str, options: Any) -> None:
    import torch

    run = three_adapters(host, family)
    summed(run, **options)
    assert torch.equal(run.logits(), run.logits(run.base))


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_switched_for_a_request_and_taken_back(host: Any, family: str) -> None:
    """An adapter that is off is missing from the sum; the factors of the others stay."""
    import torch

    run = three_adapters(host, family)
    stacked, setup, weights = run.logits(), repr(run.model.active_adapters), run.weights()
    transform = summed(run, weights=[1.0, 0.5, 2.0])
    whole = run.logits()
    assert active(run.model) == available(run.model) == tuple(NAMES)
    with using(run.model, ["task", "gender"]):
        two = run.logits()
    with using(run.model):
        assert torch.equal(run.logits(), run.logits(run.base))
    assert torch.equal(run.logits(), whole) and not torch.equal(two, whole)
    set_active(run.model, ["gender", "task"])
    assert active(run.model) == ("gender", "task") and torch.equal(run.logits(), two)
    set_active(run.model, NAMES)
    assert torch.equal(run.logits(), whole)
    transform.revert(run.model)
    assert torch.equal(run.logits(), stacked) and repr(run.model.active_adapters) == setup
    again = summed(run, weights=[1.0, 0.0, 2.0])
    torch.testing.assert_close(run.logits(), two)
    again.revert(run.model)
    assert all(torch.equal(p, weights[n]) for n, p in run.model.named_parameters())
    for name in reversed(NAMES):
        run.transforms[name].revert(run.model)
    assert torch.equal(run.logits(), run.logits(run.base))
    assert [n for n, _ in run.model.named_modules()] == [n for n, _ in run.base.named_modules()]


def test_requests_in_other_threads_and_copies_are_not_disturbed(host: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import torch

    run = three_adapters(host)
    summed(run)
    whole = run.logits()
    twin = copy.deepcopy(run.model)
    with using(run.model, "task"), ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(run.logits).result(), whole)
        assert not torch.equal(run.logits(), whole)
    set_active(run.model, "task")
    assert torch.equal(run.logits(twin), whole) and not torch.equal(run.logits(), whole)
    set_active(twin)
    assert torch.equal(run.logits(twin), run.logits(run.base)) and active(run.model) == ("task",)


def test_a_bfloat16_model_and_generation(host: Any) -> None:
    import torch

    run = three_adapters(host)
    summed(run)
    ids = run.tokenizer("The nurse said that she", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        cached = run.model.generate(ids, max_new_tokens=6, do_sample=False, use_cache=True)
        whole = run.model.generate(ids, max_new_tokens=6, do_sample=False, use_cache=False)
    assert torch.equal(cached, whole)
    run.model.to(torch.bfloat16)
    assert run.logits().dtype == torch.bfloat16 and torch.isfinite(run.logits()).all()


def test_it_says_what_is_wrong(host: Any) -> None:
    for options, told in (
        ({"adapters": ["step:a", "step:b"], "weights": [1.0]}, "1 weights for 2 adapters; give one for each"),
        ({"adapters": ["gender"]}, "'gender' does not refer to a step; write 'step:gender'"),
        ({"adapters": ["step:a", "step:a"]}, "an adapter is named twice"),
    ):
        with pytest.raises(UsageError) as caught:
            AdapterSum(**options)
        assert told in str(caught.value)
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    with pytest.raises(UsageError, match="step 'fusion' .adapter-fusion. adds no adapter that could be fused"):
        summed(run, adapters=["step:gender", "step:fusion"])
    other = host()
    other.step(DebiasingAdapter, "gender")
    other.declare(DebiasingAdapter, "religion", active=False)
    with pytest.raises(UsageError, match="the model has no adapter 'religion' to fuse"):
        summed(other, adapters=["step:gender", "step:religion"])


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_run_saves_it_and_load_puts_it_back(installed: Path, family: str) -> None:  # noqa: F811
    import torch

    import evenhand.api as api

    path = recipe(installed, family)
    text = path.read_text()
    begin = text.index('[[steps]]\nuse = "adapter-fusion"')
    path.write_text(
        text[:begin]
        + '[[steps]]\nuse = "adapter-sum"\nid = "sum"\nadapters = ["step:gender-adapter", "step:task"]\n'
        + "weights = [1.0, 0.25]\nstrength = 0.5\n"
    )
    result = api.run(path)
    steps = {entry["id"]: entry for entry in result.record["steps"]}
    assert steps["sum"]["state"] == "saved beside the model" and all(p["took"] for p in steps["sum"]["proofs"])
    assert not result.record["portability"]["plain_transformers"]
    model, tokenizer = api.load(result.folder)
    [first, *_] = fusion_layers.modules(model, "sum")
    assert first.weights == {"gender-adapter": 0.5, "task": 0.125}
    ids = tokenizer("The nurse said that she was good.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        whole = model(input_ids=ids).logits
        assert torch.equal(api.load(result.folder).model(input_ids=ids).logits, whole)
        with using(model, "task"):
            assert not torch.equal(model(input_ids=ids).logits, whole)

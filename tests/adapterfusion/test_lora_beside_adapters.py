"""LoRA and a debiasing adapter in one training: both learn, in either order, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_sdk import Artifact
from evenhand_sdk.testing import contributions, logits, place, run_context
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.lora import Lora
from evenhand_standard.architecture.low_rank import is_lora


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "bert", "roberta"])
def test_both_learn_and_lora_is_merged(family: str, first: bool, tmp_path: Path) -> None:
    masked = family in ("bert", "roberta")
    model, tokenizer = tiny_masked(family) if masked else tiny_causal(family)
    kind: Any = "masked" if masked else "causal"
    run = run_context(tmp_path, Lora(), kind, model=model, tokenizer=tokenizer)
    lora = contributions(Lora(), "architecture", run)
    adapter = contributions(DebiasingAdapter(name="gender"), "architecture", run)
    placed = place([*lora, *adapter] if first else [*adapter, *lora], run)
    low, high = placed if first else placed[::-1]
    assert any(bool((t != 0).any()) for name, t in low.artifact.tensors.items() if name.endswith("lora_B"))
    assert any(bool((t != 0).any()) for t in high.artifact.tensors.values())
    assert not any(is_lora(name) for name, _ in model.named_parameters())
    behind = logits(run)
    assert low.transform.fold(model) and torch.equal(logits(run), behind)
    high.transform.revert(model)
    assert not torch.equal(logits(run), behind)
    assert not any("adapters" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("family", ["gpt2", "bert", "roberta"])
def test_the_layers_that_steps_act_on_stay_the_models_own(family: str, tmp_path: Path) -> None:
    """The library wraps matrices for a LoRA of its own."""
    masked = family != "gpt2"
    model, tokenizer = tiny_masked(family) if masked else tiny_causal(family)
    own = {name: module for name, module in model.named_modules() if isinstance(module, Conv1D | torch.nn.Linear)}
    kind: Any = "masked" if masked else "causal"
    run = run_context(tmp_path, DebiasingAdapter(), kind, model=model, tokenizer=tokenizer)
    before = logits(run)
    (adapter,) = contributions(DebiasingAdapter(name="gender"), "architecture", run)
    adapter.apply(model, Artifact())
    now = dict(model.named_modules())
    assert own and all(now[name] is module for name, module in own.items())
    assert torch.equal(logits(run), before)
    for layer in layers_of(model):
        for part in (layer.query, layer.key, layer.value, layer.output, *layer.feed_forward_in):
            seen: list[Any] = []
            hook = part.module.register_forward_hook(lambda *told, seen=seen: seen.append(told))
            logits(run)
            hook.remove()
            assert seen, f"a hook on {part.path} is not called"


def test_in_gpt2_one_after_the_other(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal("gpt2")
    run = run_context(tmp_path, Lora(), "causal", model=model, tokenizer=tokenizer)
    place(contributions(Lora(), "architecture", run), run)
    before = logits(run)
    place(contributions(DebiasingAdapter(name="gender"), "architecture", run), run)
    assert not torch.equal(logits(run), before)

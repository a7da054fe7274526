"""LoRA and a debiasing adapter in one training: they work together, or are refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_sdk import UsageError
from evenhand_sdk.testing import contributions, logits, place, run_context
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.architecture.lora import Lora
from evenhand_standard.architecture.low_rank import is_lora


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen2", "bert", "roberta"])
def test_both_learn_and_lora_is_merged(family: str, first: bool, tmp_path: Path) -> None:
    masked = family in ("bert", "roberta")
    model, tokenizer = tiny_masked(family) if masked else tiny_causal(family)
    kind: Any = "masked" if masked else "causal"
    run = run_context(tmp_path, Lora(), kind, model=model, tokenizer=tokenizer)
    lora = contributions(Lora(), "architecture", run)
    adapter = contributions(DebiasingAdapter(name="gender"), "architecture", run)
    if masked and first:
        with pytest.raises(UsageError, match="replace the layers that a step `lora` trains"):
            place([*lora, *adapter], run)
        lora[0].revert(model)
        assert not any(is_lora(name) for name, _ in model.named_parameters())
        return
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


@pytest.mark.parametrize(
    ("first", "told"),
    [(True, "replace the layers that a step `lora` trains"), (False, "are no plain matrix, but LoRAMergedLinear")],
)
def test_in_gpt2_either_order_is_refused_before_a_training(first: bool, told: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_causal("gpt2")
    run = run_context(tmp_path, Lora(), "causal", model=model, tokenizer=tokenizer)
    lora = contributions(Lora(), "architecture", run)
    adapter = contributions(DebiasingAdapter(name="gender"), "architecture", run)
    with pytest.raises(UsageError, match=told):
        place([*lora, *adapter] if first else [*adapter, *lora], run)


def test_in_gpt2_one_after_the_other(tmp_path: Path) -> None:
    model, tokenizer = tiny_causal("gpt2")
    run = run_context(tmp_path, Lora(), "causal", model=model, tokenizer=tokenizer)
    place(contributions(Lora(), "architecture", run), run)
    before = logits(run)
    place(contributions(DebiasingAdapter(name="gender"), "architecture", run), run)
    assert not torch.equal(logits(run), before)

"""Steps that act beside the weights are not saved by `save_pretrained`, and the model says so."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import evenhand
from adapters_library import needs_adapters
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_sdk.tiny import save_tiny, tiny_causal, tiny_masked
from evenhand_standard.architecture.attention_temperature import AttentionTemperature
from evenhand_standard.architecture.leace import Leace
from evenhand_standard.architecture.lora import Lora
from evenhand_standard.architecture.selective_update import SelectiveUpdate
from own_plugins import Scale, Turn
from test_saved_without import told

SAVED = (
    "{} beside the weights of this model, and the folder that save_pretrained writes will be a model without: only "
    "weights are saved; `fold` of what evenhand.apply gave writes into them what can be folded, and {}"
)
EXPORT = "`toolkit export RUN --to FOLDER --with-code` keeps those of a run"
LOAD = "evenhand.load has those of a run, from the run's own folder"


@pytest.mark.parametrize("plugin", [
    Leace(pairs=20),
    Leace(pairs=20, form="after-norm", positions="all"),
    AttentionTemperature(beta=0.7, folded=False),
    pytest.param(DebiasingAdapter(), marks=needs_adapters),
    Lora(rank=2),
], ids=["leace", "leace-after-norm", "attention-temperature", "debiasing-adapter", "lora"])  # fmt: skip
def test_a_live_step_is_named_once_until_it_is_taken_back(plugin: Any, tmp_path: Path) -> None:
    model, tokenizer = map(copy.deepcopy, tiny_causal())
    handle = evenhand.apply(model, tokenizer, [plugin])
    copied = copy.deepcopy(model)
    expected = [SAVED.format(f"{plugin.name} acts", EXPORT)]
    assert told(model.save_pretrained, tmp_path / "new" / "a") == expected
    assert told(model.save_pretrained, tmp_path / "b") == []
    assert told(copied.save_pretrained, tmp_path / "c") == expected
    handle.revert()
    assert "save_pretrained" not in vars(model) and told(model.save_pretrained, tmp_path / "d") == []


@needs_adapters
@pytest.mark.parametrize("family", ["gpt2", "qwen2", "gemma3", "bert", "roberta"])
def test_adapters_can_be_taken_back_after_a_save(family: str, tmp_path: Path) -> None:
    made = tiny_masked(family) if family in ("bert", "roberta") else tiny_causal(family)
    model, tokenizer = map(copy.deepcopy, made)
    ids = {"input_ids": torch.tensor([[5, 6, 7, 8]])}
    with torch.no_grad():
        before = model(**ids).logits
    handle = evenhand.apply(model, tokenizer, [DebiasingAdapter()])
    told(model.save_pretrained, tmp_path / "a")
    second = evenhand.apply(model, tokenizer, [DebiasingAdapter(name="second")])
    told(model.save_pretrained, tmp_path / "b")
    second.revert()
    handle.revert()
    with torch.no_grad():
        assert torch.equal(model(**ids).logits, before)
    assert not any("adapter" in name for name, _ in model.named_parameters())


def test_what_is_in_the_weights_is_saved_and_nothing_is_said(tmp_path: Path) -> None:
    model, tokenizer = map(copy.deepcopy, tiny_causal())
    handle = evenhand.apply(model, tokenizer, [Lora(rank=2)])
    handle.finish()
    assert "save_pretrained" not in vars(model)
    evenhand.apply(model, tokenizer, [SelectiveUpdate(select=["norms"])])
    assert "save_pretrained" not in vars(model)
    handle = evenhand.apply(model, tokenizer, [Scale()])
    assert "save_pretrained" in vars(model)
    assert handle.fold() == [] and told(model.save_pretrained, tmp_path / "a") == []


def test_a_step_that_a_short_format_would_lose_is_named_after_its_fold(tmp_path: Path) -> None:
    model, tokenizer = map(copy.deepcopy, tiny_causal())
    model.to(torch.bfloat16)
    handle = evenhand.apply(model, tokenizer, [Scale(fault="lost")])
    with pytest.warns(UserWarning, match="own-scale stays live"):
        handle.fold()
    assert told(model.save_pretrained, tmp_path / "a") == [SAVED.format("own-scale acts", EXPORT)]


def test_rules_and_steps_of_two_calls_are_told_apart(tmp_path: Path) -> None:
    model, tokenizer = map(copy.deepcopy, tiny_masked())
    first = evenhand.apply(model, tokenizer, [Leace(pairs=20), AttentionTemperature(beta=0.9, folded=False)])
    second = evenhand.apply(model, tokenizer, [AttentionTemperature(beta=0.7, folded=False)])
    second.revert()
    assert told(model.save_pretrained, tmp_path / "a") == [SAVED.format("leace, attention-temperature act", LOAD)]
    first.revert()
    assert "save_pretrained" not in vars(model)
    model, tokenizer = map(copy.deepcopy, tiny_causal())
    handle = evenhand.apply(model, tokenizer, [Leace(pairs=20)])
    with evenhand.decode_with(model, tokenizer, [Turn()]):
        assert len(told(model.save_pretrained, tmp_path / "b")) == 2
    assert told(model.save_pretrained, tmp_path / "c") == []
    handle.revert()
    assert "save_pretrained" not in vars(model)


def test_the_model_of_a_run_says_which_steps_are_not_saved(tmp_path: Path) -> None:
    recipe: dict[str, Any] = {"model": {"name": str(save_tiny(tmp_path / "tiny"))}, "traffic": {"limit": 0}}
    recipe["steps"] = [{"use": "leace", "pairs": 20}]
    folder = evenhand.run(recipe, output=tmp_path / "runs").folder
    model = evenhand.load(folder).model
    assert told(model.save_pretrained, tmp_path / "new" / "a") == [SAVED.format("leace acts", EXPORT)]
    plain = transformers.AutoModelForCausalLM.from_pretrained(Path(folder) / "model")
    assert "save_pretrained" not in vars(plain)

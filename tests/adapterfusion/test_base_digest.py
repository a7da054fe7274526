"""An adapter goes onto every model with the body that it was trained on, and onto no other."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from evenhand_adapterfusion import load_adapter
from evenhand_adapterfusion.base_digest import _whole_digest, base_digest, body_of
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_sdk import UsageError

CLASSIFIERS = {
    "llama": transformers.LlamaForSequenceClassification,
    "qwen2": transformers.Qwen2ForSequenceClassification,
    "gpt2": transformers.GPT2ForSequenceClassification,
    "bert": transformers.BertForSequenceClassification,
    "roberta": transformers.RobertaForSequenceClassification,
}


def trained(run: Any, folder: Path) -> Path:
    transform = run.step(DebiasingAdapter, "gender")
    run.learn()
    transform.save(run.model, folder)
    return folder


@pytest.mark.parametrize("family", [*CLASSIFIERS, "gemma3"])
def test_a_classifier_and_a_bare_body_of_the_same_weights_take_the_adapter(
    host: Any, family: str, tmp_path: Path
) -> None:
    import torch

    run = host(family)
    folder = trained(run, tmp_path / "adapter")
    run.base.save_pretrained(tmp_path / "base")
    models = [copy.deepcopy(body_of(run.base))]
    if family in CLASSIFIERS:
        models.append(CLASSIFIERS[family].from_pretrained(tmp_path / "base").eval())
    ids = run.tokenizer("The nurse said that she was good.", return_tensors="pt")["input_ids"]

    def hidden(model: Any) -> torch.Tensor:
        with torch.no_grad():
            return model(input_ids=ids, output_hidden_states=True).hidden_states[-1]

    for model in models:
        before = hidden(model)
        assert load_adapter(model, folder) == "gender"
        assert not torch.equal(hidden(model), before)
        assert torch.equal(hidden(model), hidden(run.model))
    changed = copy.deepcopy(body_of(run.base))
    changed.get_input_embeddings().weight.data[3] += 1
    with pytest.raises(UsageError, match="was trained for another base model"):
        load_adapter(changed, folder)


def test_an_adapter_with_the_older_digest_goes_onto_its_model_and_says_why_onto_no_other(
    host: Any, tmp_path: Path
) -> None:
    run = host("bert")
    folder = trained(run, tmp_path / "adapter")
    told = json.loads((folder / "adapter_config.json").read_text())
    told["base_digest"] = _whole_digest(run.base)
    (folder / "adapter_config.json").write_text(json.dumps(told))
    assert load_adapter(copy.deepcopy(run.base), folder) == "gender"
    run.base.save_pretrained(tmp_path / "base")
    other = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "base")
    with pytest.raises(UsageError) as error:
        load_adapter(other, folder)
    was, now = _whole_digest(run.base)["bfloat16"], _whole_digest(other)["bfloat16"]
    assert str(error.value) == (
        f"{folder}: the adapter 'gender' was trained for another base model: the digest of the weights differs\n"
        f"  trained for {was}, this model is {now}; this older digest includes the head, so that the same body with "
        "another head differs\n  load the model that it was trained for"
    )


def test_parts_of_steps_are_in_no_digest(host: Any) -> None:
    run = host()
    before = base_digest(run.model)
    run.step(DebiasingAdapter, "gender")
    assert base_digest(run.model) == before and before["of"] == "body"

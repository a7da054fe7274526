"""An adapter goes onto every model with the body that it was trained on, and onto no other."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from evenhand_adapterfusion import load_adapter
from evenhand_adapterfusion.adapter_fusion import AdapterFusion
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


def test_an_adapter_of_somebody_else_on_the_model_makes_it_no_other_base(host: Any, tmp_path: Path) -> None:
    """Also one of another kind, whose matrices lie within the model's own."""
    import adapters

    run = host("gpt2")
    folder = trained(run, tmp_path / "adapter")
    adapters.init(run.base)
    for name, kind in (("theirs", "seq_bn"), ("low", "lora"), ("inverted", "seq_bn_inv")):
        run.base.add_adapter(name, config=kind)
    assert load_adapter(run.base, folder) == "gender"


@pytest.mark.parametrize("resumed", [False, True])
def test_what_changes_the_model_after_the_training_is_told_beside_what_it_was_trained_on(
    host: Any, tmp_path: Path, resumed: bool
) -> None:
    """Onto its own base, and onto the finished model of the run; a copy that is saved again says the same."""
    run = host()
    transform = run.step(DebiasingAdapter, "gender")
    artifact = run.learn()["gender"]
    if resumed:
        transform.revert(run.model)
        transform.apply(run.model, artifact)
    final, other = copy.deepcopy(run.base), copy.deepcopy(run.base)
    for model, factor in ((run.model, 0.9), (final, 0.9), (other, 0.8)):
        model.model.layers[0].self_attn.q_proj.weight.data *= factor
    transform.save(run.model, tmp_path / "adapter")
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (told["base_digest"], told["model_digest"]) == (base_digest(run.base), base_digest(final))
    for model in (copy.deepcopy(run.base), final):
        load_adapter(model, tmp_path / "adapter")
        transform.save(model, tmp_path / "again")
        again = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
        assert again["base_digest"] == base_digest(run.base)
    with pytest.raises(UsageError, match="was trained for another base model"):
        load_adapter(other, tmp_path / "adapter")


def test_a_fusion_is_told_what_it_was_trained_on_likewise(host: Any, tmp_path: Path) -> None:
    run = host()
    for name in ("gender", "task"):
        run.step(DebiasingAdapter, name)
        run.learn()
    transform = run.step(AdapterFusion, "fusion", adapters=["step:gender", "step:task"])
    artifact = run.learn()["fusion"]
    assert artifact.meta["base_digest"] == base_digest(run.base)
    run.model.model.layers[0].self_attn.q_proj.weight.data *= 0.9
    transform.save(run.model, tmp_path)
    told = json.loads((tmp_path / "adapter_fusion_config.json").read_text())
    assert (told["base_digest"], told["model_digest"]) == (base_digest(run.base), base_digest(run.model))

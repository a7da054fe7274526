"""Six demanding steps, written with the SDK alone: each is a recipe, none is a special case of the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import evenhand
from evenhand_sdk.tiny import tiny_causal

HEAD = """
[model]
name = "{place}/tiny"
[data]
train = "train.txt"
[training]
max_steps = {steps}
batch_size = 4
max_length = 32
learning_rate = {rate}
precision = "float32"
save_every = 4
[traffic]
limit = 0
"""


def recipe(place: Path, body: str, *, steps: int = 12, rate: float = 1e-3, name: str = "probe") -> Path:
    path = place / f"{name}.toml"
    path.write_text(HEAD.format(place=place, steps=steps, rate=rate) + body)
    return path


def run(place: Path, body: str, **settings: Any) -> Any:
    name = settings.get("name", "probe")
    return evenhand.run(recipe(place, body, **settings), output=place / f"runs-{name}", offline=True)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def step_of(result: Any, name: str) -> dict[str, Any]:
    return next(s for s in result.record["steps"] if s["id"] == name)


def test_an_adversary_learns_and_the_model_resists(place: Path) -> None:
    body = '[[steps]]\nuse = "probe-adversary"\n'
    still = run(place, body, steps=40, rate=1e-9, name="still").record["training"][0]["terms"]["adversary"]
    assert still["weight"] == -0.5 and still["gradient_norm"] > 0
    assert still["last"] < 0.75 * still["first"], "its own parameters descend the raw value"
    moving = run(place, body, steps=40, rate=3e-3, name="moving").record["training"][0]["terms"]["adversary"]
    assert moving["last"] > still["last"] + 0.05, "the model climbs it"


def test_a_gradient_aggregator_survives_a_resume(place: Path) -> None:
    straight = run(place, '[[steps]]\nuse = "probe-pcgrad"\n', name="straight")
    body = '[[steps]]\nuse = "probe-pcgrad"\nstop_after = 7\n'
    with pytest.raises(KeyboardInterrupt):
        run(place, body, name="stopped")
    resumed = evenhand.run(place / "stopped.toml", output=place / "runs-stopped", resume=True, offline=True)
    counts = {f["label"]: f["value"] for f in straight.record["sections"][0]["facts"]}
    assert counts["updates"] == 12 and counts["conflicts"] > 0
    assert {f["label"]: f["value"] for f in resumed.record["sections"][0]["facts"]} == counts
    assert resumed.record["training"][0]["terms"] == straight.record["training"][0]["terms"]
    expected = tensors(straight.folder)
    assert all(tensor.equal(expected[name]) for name, tensor in tensors(resumed.folder).items())


def test_three_adapters_are_trained_one_by_one_and_fused(place: Path) -> None:
    words = {"a": "she", "b": "he", "c": "the"}
    body = "".join(
        f'[[steps]]\nuse = "probe-adapter"\nid = "{name}"\nactive = true\nword = "{word}"\n[[steps]]\nuse = "train"\n'
        for name, word in words.items()
    )
    body += '[[steps]]\nuse = "probe-fusion"\nadapters = ["step:a", "step:b", "step:c"]\n[[steps]]\nuse = "train"\n'
    result = run(place, body, steps=6, rate=1e-2)
    assert [t["id"] for t in result.record["training"]] == ["train", "train-2", "train-3", "train-4"]
    assert [t["trainable"] for t in result.record["training"]] == [512, 512, 512, 6]
    for name in words:
        selection = next(p for p in step_of(result, name)["proofs"] if p["stage"] == "architecture")
        assert selection["took"] and selection["what"].startswith("4 of 4 selected tensors moved, ")
        assert step_of(result, name)["state"] == "folded"
    assert step_of(result, "probe-fusion")["state"] == "saved beside the model"

    base, _ = tiny_causal()
    kept = tensors(result.folder)
    assert all(tensor.equal(kept[name]) for name, tensor in base.state_dict().items() if name in kept)
    model, tokenizer = result.load()
    weights = [p for n, p in model.named_parameters() if n.endswith("fused_probe-fusion.weights")]
    assert len(weights) == 2 and all(w.shape == (3,) and len(set(w.tolist())) == 3 for w in weights)
    ids = tokenizer("The nurse said that", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert not torch.allclose(model(input_ids=ids).logits, base(input_ids=ids).logits, atol=1e-3)


@pytest.mark.parametrize("folds", [True, False])
def test_a_direction_is_erased_after_training(place: Path, folds: bool) -> None:
    from transformers import AutoModelForCausalLM

    body = f'[[steps]]\nuse = "train"\n[[steps]]\nuse = "probe-erasure"\nfolds = {str(folds).lower()}\n'
    result = run(place, body)
    assert step_of(result, "probe-erasure")["state"] == ("folded" if folds else "saved beside the model")
    plain = AutoModelForCausalLM.from_pretrained(result.folder / "model")
    smallest = float(torch.linalg.svdvals(plain.get_output_embeddings().weight.detach())[-1])
    assert (smallest < 1e-4) == folds, "folded, the output matrix of the plain model has a direction it ignores"
    model, tokenizer = result.load()
    ids = tokenizer("The nurse said that he", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden, logits = model.base_model(input_ids=ids).last_hidden_state, model(input_ids=ids).logits
        other, _ = tiny_causal()
        assert not torch.allclose(logits, other(input_ids=ids).logits, atol=1e-3)
        assert torch.allclose(model.get_output_embeddings()(hidden), logits, atol=1e-4)


def test_a_decoding_rule_is_distilled_into_the_weights(place: Path) -> None:
    body = """
    [[steps]]
    use = "probe-flat"
    id = "averaging"
    [[steps]]
    use = "probe-distillation"
    teacher = "step:averaging"
    [[steps]]
    use = "train"
    language_modelling = 0.0
    """
    result = run(place, body, steps=40, rate=1e-2)
    facts = result.record["training"][0]["terms"]
    assert list(facts) == ["distillation"] and facts["distillation"]["last"] < 0.5 * facts["distillation"]["first"]
    assert step_of(result, "averaging")["state"] == "inactive" and not step_of(result, "averaging")["active"]
    usable = result.load()
    assert usable.rules == [], "the rule is in the weights now"
    base, tokenizer = tiny_causal()
    ids = tokenizer("The nurse said that she would call the doctor", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        taught = (base(input_ids=ids).logits / 2).log_softmax(-1)
        before, after = (m(input_ids=ids).logits.log_softmax(-1) for m in (base, usable.model))
    gap = [float((taught.exp() * (taught - q)).sum(-1).mean()) for q in (before, after)]
    assert gap[1] < 0.5 * gap[0]


def test_a_training_that_a_step_ordered_is_not_repeated_when_a_run_is_resumed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenhand import life_training, training

    body = '[[steps]]\nuse = "probe-hard-rows"\n[[steps]]\nuse = "train"\n'
    straight = run(place, body, name="straight")
    assert not list(straight.folder.glob(".state/services/*")), "a complete run keeps none"

    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(life_training, "_trained", stop)
        with pytest.raises(KeyboardInterrupt):
            run(place, body, name="stopped")
    titles = []
    original = training.train
    monkeypatch.setattr(training, "train", lambda *a, **k: titles.append(k["title"]) or original(*a, **k))
    resumed = evenhand.run(place / "stopped.toml", output=place / "runs-stopped", resume=True, offline=True)
    assert "Training a copy" not in titles
    assert "Training a copy: read from before the run was stopped" in [e["text"] for e in resumed.record["events"]]
    expected = tensors(straight.folder)
    assert all(tensor.equal(expected[name]) for name, tensor in tensors(resumed.folder).items())


def test_rows_are_chosen_by_an_early_checkpoint(place: Path) -> None:
    body = '[[steps]]\nuse = "probe-hard-rows"\n[[steps]]\nuse = "train"\n'
    result = run(place, body)
    assert (result.record["data"]["rows"], result.record["data"]["rows_after"]) == (40, 20)
    (proof,) = step_of(result, "probe-hard-rows")["proofs"]
    assert proof["what"] == "40 rows became 20: 0 new, 20 gone, columns changed: early_mean"
    assert [t["id"] for t in result.record["training"]] == ["train"], "the copy's training is none of the run's"
    again = run(place, body, name="again")
    expected = tensors(result.folder)
    assert all(tensor.equal(expected[name]) for name, tensor in tensors(again.folder).items())

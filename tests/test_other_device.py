"""All that touches a model works where the model is not on the processor: see `pretend_device`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import evenhand
from evenhand_sdk.tiny import save_tiny, tiny_causal, tiny_masked
from pretend_device import DEVICE, Elsewhere, pretending

SENTENCES = [f"The {who} asked her friend about the {what}." for who in ("nurse", "doctor", "baker") for what in "abcd"]


@pytest.fixture
def device() -> Iterator[torch.device]:
    with pretending() as device:
        yield device


def _run(tmp_path: Path, steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    recipe = {
        "model": {"name": str(save_tiny(tmp_path / "model", family=more.pop("family", "llama")))},
        "data": {"train": str(text)},
        "training": {"max_steps": 2, "batch_size": 4, "max_length": 32, "learning_rate": 1e-2, "warmup": 0.0},
        "benchmarks": [{"use": "pair-gap", "limit": 8}, {"use": "perplexity", "words": 20}],
        "steps": steps,
        "traffic": {"limit": 4},
        **more,
    }
    run = evenhand.run(recipe, output=tmp_path / "runs")
    return json.loads((Path(run.folder) / "run.json").read_text(encoding="utf-8"))


def test_the_pretend_device_refuses_what_a_real_one_refuses(device: torch.device) -> None:
    there, here = torch.ones(3, device=device), torch.ones(3)
    assert isinstance(there, Elsewhere) and there.device == DEVICE
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        there + here
    with pytest.raises((RuntimeError, TypeError)):
        there.numpy()
    with pytest.raises(RuntimeError, match="for generator"):
        torch.rand(2, device=device, generator=torch.Generator())
    assert (there + torch.tensor(1.0)).tolist() == [2.0, 2.0, 2.0]
    assert there[torch.tensor([0, 2])].cpu().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("make", [tiny_causal, tiny_masked])
def test_a_model_gives_there_what_it_gives_here(make: Any) -> None:
    model, tokenizer = make()
    ids = tokenizer("The nurse asked her friend.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        here = model(input_ids=ids).logits
        with pretending() as device:
            there = model.to(device)(input_ids=ids.to(device)).logits
    torch.testing.assert_close(there.held, here)


def test_a_run_trains_measures_and_saves_there(tmp_path: Path, own_cache: Path, device: torch.device) -> None:
    record = _run(
        tmp_path,
        [
            {"use": "counterfactual-augmentation", "axes": ["gender"]},
            {"use": "pair-parity"},
            {"use": "selective-update"},
            {"use": "train"},
            {"use": "counterfactual-averaging"},
        ],
    )
    assert record["status"] == "complete"
    assert record["environment"]["accelerator"] == DEVICE.type
    values = [m["after"]["value"] for b in record["benchmarks"] for m in b["metrics"]]
    assert all(value == value for value in values)


@pytest.mark.parametrize(
    "step",
    [
        {"use": "leace"},
        {"use": "sentence-debias"},
        {"use": "attention-temperature", "texts": 4, "samples": 2, "quality": 0.01},
    ],
    ids=lambda step: step["use"],
)
def test_a_fitted_step_works_there(step: dict[str, Any], tmp_path: Path, own_cache: Path, device: torch.device) -> None:
    assert _run(tmp_path, [step])["status"] == "complete"


def test_scores_there_are_the_scores_here(own_cache: Path) -> None:
    from evenhand.scoring import distributions

    model, tokenizer = tiny_causal()
    ids = [tokenizer(text)["input_ids"] for text in SENTENCES]
    places = [list(range(len(row))) for row in ids]
    here = distributions(model, ids, places, dtype="float32")
    with pretending() as device:
        there = distributions(model.to(device), ids, places, dtype="float32")
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-4)


RULES = ("counterfactual-averaging", "probability-balancing", "self-debias", "expert-guidance", "gradient-decoding")


@pytest.mark.parametrize("plugin", RULES)
def test_rules_write_there_what_they_write_here(plugin: str) -> None:
    model, tokenizer = tiny_causal()
    options = {"gate": 0.0, "steps": 1} if plugin == "gradient-decoding" else {}
    prompts = ["The nurse told her brother that", "Rain fell"]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")

    def written(where: Any) -> list[Any]:
        inputs = {name: value.to(where) for name, value in batch.items()}
        with evenhand.decode_with(model, tokenizer, [(plugin, options)]) as decoding:
            greedy, beams = (
                model.generate(**inputs, max_new_tokens=4, do_sample=False, num_beams=n).cpu().tolist() for n in (1, 2)
            )
            return [greedy, beams, decoding.generate(prompts, max_new_tokens=4, temperature=1.0)]

    here = written("cpu")
    with pretending() as device:
        model.to(device)
        assert written(device) == here

"""The real task of a task adapter: the recipe in docs, small, with its gaps before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import evenhand
from evenhand.recipe import load_recipe
from evenhand_adapterfusion import set_active
from evenhand_sdk.tiny import save_tiny
from evenhand_standard.classifier_head import read_head

ROOT = Path(__file__).parents[2]


def small(folder: Path, family: str) -> dict[str, Any]:
    """The recipe in docs with a tiny model and text, few updates, and one benchmark."""
    given = load_recipe(ROOT / "docs/recipes/adapterfusion-task.toml")
    steps = [
        {"use": s.use, "id": s.id, **({"active": True} if s.active and s.use.endswith("adapter") else {}), **s.options}
        for s in given.steps
    ]
    for step in steps:
        if step["use"] == "train":
            step["learning_rate"] = 1e-2
    text = folder / "text.txt"
    text.write_text("The nurse said that she was good.\nThe doctor told his son.\nHe was tired.\n" * 8, "utf-8")
    return {
        "model": {"name": str(save_tiny(folder / "model", family=family))},
        "data": {"train": str(text)},
        "training": {"max_steps": 3, "batch_size": 8, "learning_rate": 1e-2, "max_length": 48},
        "traffic": {"limit": 0},
        "benchmarks": [{"use": "classification-gaps", "limit": 160}],
        "evaluation": {"controls": []},
        "steps": steps,
    }


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_adapters_learn_the_task_and_its_gaps_are_measured_before_and_after(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    run = evenhand.run(small(tmp_path, family), output=tmp_path / "runs")
    [entry] = [row for row in run.record["benchmarks"] if row["use"] == "classification-gaps"]
    found = {metric["name"] for metric in entry["metrics"]}
    assert {"odds gap", "true positive rate, gap", "chance gap", "skill", "false positive rate, male"} <= found
    rows = next(step["rows"] for step in run.record["steps"] if step["id"] == "tweets")
    assert rows[0]["changed"] == 24
    terms = {key for training in run.record["training"] for key in training["terms"]}
    assert {"task of tweets", "task of tweets-of-the-fusion", "pair parity"} <= {key.split(" (")[0] for key in terms}
    model, tokenizer = evenhand.load(run.folder)
    text = tokenizer("She told him that it was fine", return_tensors="pt")
    with torch.no_grad():
        fused = model(**text).logits
        set_active(model, ["task"])
        task = model(**text).logits
    assert not torch.equal(fused, task)
    for step in ("tweets", "tweets-of-the-fusion"):
        head = read_head(run.folder / "found" / step / "head")
        assert all(0 < p < 1 for p in head.probabilities(model, tokenizer, ["She told him that it was fine"]))

"""The recipes of the architecture stage: each is sound, and runs from end to end on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.recipe import load_recipe
from evenhand_sdk.tiny import save_tiny

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "architecture"
PAGES = FOLDER.parents[1] / "techniques"
EVIDENCE = FOLDER.parents[1] / "evidence"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
OTHER = {"gradient-choice": "selective-update"}
"""A recipe that is not called after the technique it shows."""
QUICK: dict[str, dict[str, Any]] = {
    "activation-steering": {"pairs": 120, "least_accuracy": 0.0},
    "attention-steering": {"pairs": 4, "texts": 4, "samples": 2, "quality": 0.01},
    "attention-temperature": {"pairs": 4, "texts": 4, "samples": 2, "quality": 0.01},
    "gradient-choice": {"texts": 8},
    "head-pruning": {"pairs": 4, "texts": 4, "samples": 2, "share": 0.3, "protect": 0.0, "quality": 0.01},
    "inlp": {"pairs": 32, "rounds": 2},
    "leace": {"pairs": 32},
    "model-editing": {"pairs": 16, "texts": 8},
    "movement-pruning": {"share": 0.3},
    "sentence-debias": {"pairs": 32},
}
"""Options that make a step quick, and let it act on a tiny model that knows nothing."""


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def quick(name: str, tiny_folder: Path) -> list[str]:
    """Settings that make a run short; the steps stay what they are."""
    recipe = load_recipe(FOLDER / f"{name}.toml")
    settings = [f"model.name={tiny_folder}", "evaluation.resamples=1000", "evaluation.controls=none", "traffic.limit=0"]
    if any(step.use == "train" for step in recipe.steps) or recipe.data.train:
        settings += ["training.max_steps=3", "training.batch_size=4", "training.precision=float32"]
    own = next(step for step in recipe.steps if step.use == OTHER.get(name, name))
    settings += [f"steps.{own.id or own.use}.{key}={value}" for key, value in QUICK.get(name, {}).items()]
    for entry in recipe.benchmarks:
        if entry.use == "pair-gap":
            settings.append(f"benchmarks.{entry.id or entry.use}.limit=4")
        if entry.use == "perplexity":
            settings += [f"benchmarks.{entry.id or entry.use}.{s}" for s in ("text=builtin:heldout", "words=20")]
    return settings


@pytest.mark.parametrize("name", NAMES)
def test_each_recipe_shows_a_technique_with_a_page(name: str) -> None:
    technique = OTHER.get(name, name)
    assert any(step.use == technique for step in load_recipe(FOLDER / f"{name}.toml").steps)
    assert (PAGES / f"{technique}.md").read_text(encoding="utf-8").startswith(f"# {technique}\n")
    assert (EVIDENCE / f"{technique}.toml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_a_tiny_model_and_takes(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    if name == "adapter-sum":
        pytest.importorskip("adapters", reason="the library adapters cannot be imported")
    result = evenhand.run(FOLDER / f"{name}.toml", overrides=quick(name, tiny_folder), output=tmp_path)
    record: dict[str, Any] = result.record
    assert record["status"] == "complete" and not record["faults"]
    [step] = [step for step in record["steps"] if step["use"] == OTHER.get(name, name)]
    assert step["state"] in ("folded", "saved beside the model")
    assert step["proofs"] and all(proof["took"] for proof in step["proofs"])
    assert step["artifact_bytes"] >= 0
    model, tokenizer = evenhand.load(result.folder)
    assert model(**tokenizer("The nurse said that", return_tensors="pt")).logits.isfinite().all()

"""The recipes of loss terms: each is sound, and runs from end to end on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.discovery import discover
from evenhand.examination import examined
from evenhand.recipe import load_recipe, resolve_steps
from evenhand_sdk.tiny import save_tiny

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "objective"
OWN: dict[str, tuple[set[str], list[str]]] = {
    "equalising-loss": ({"equalising loss", "declustering", "retention"}, []),
    "margin-equalisation": ({"margin equalisation", "above unrelated text", "retention"}, []),
    "subspace-regulariser": ({"embedding projection", "retention"}, []),
    "self-distillation": ({"self-distillation", "retention"}, []),
    "attention-entropy": ({"attention entropy", "retention"}, []),
    "group-dro": ({"group DRO"}, []),
}
"""Name -> the terms of the training, and further settings that make a run on a tiny model possible."""


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_it_runs_on_a_tiny_model_and_every_term_has_a_gradient(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    terms, settings = OWN[name]
    quick = [
        f"model.name={tiny_folder}", "training.max_steps=3", "data.limit=80", "benchmarks.pair-gap.limit=4",
        "evaluation.resamples=1000", *settings,
    ]  # fmt: skip
    record: dict[str, Any] = evenhand.run(FOLDER / f"{name}.toml", overrides=quick, output=tmp_path).record
    assert record["status"] == "complete" and not record["faults"]
    (step,) = [step for step in record["steps"] if step["use"] == name]
    proofs = [proof for proof in step["proofs"] if proof["stage"] == "objective"]
    assert {proof["what"].partition(":")[0] for proof in proofs} == terms
    assert all(proof["took"] for proof in proofs)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_each_recipe_is_sound_and_trains_with_what_it_is_named_for(path: Path) -> None:
    """Options are read by their plugins, and a training that learns from the step stands behind it."""
    catalogue = discover()
    recipe = load_recipe(path, catalogue=catalogue)
    examined(recipe, catalogue)
    steps = resolve_steps(recipe, catalogue)
    places = {step.use: place for place, step in enumerate(steps) if step.section == "steps" and step.active}
    name = {"quality-budget": "early-stopping"}.get(path.stem, path.stem)
    assert places[name] < places.get("train", len(steps)), "without one, the training is implied behind all steps"
    assert getattr(steps[places[name]].options, "strength", 1.0) > 0

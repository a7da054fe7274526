"""The recipes of the data stage: each is sound, and runs from end to end on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.recipe import load_recipe
from evenhand_sdk.tiny import save_tiny

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "data"
OWN = (
    "bias-filter", "corpus-audit", "cultural-mix", "demographic-mix", "diversified-synthesis", "learned-rewriting",
    "neutral-rewriting", "preference-pairs",
)  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def quick(name: str, tiny_folder: Path) -> list[str]:
    """Settings that make a run short; the steps stay what they are, but for the sizes and bounds of generation."""
    settings = [
        f"model.name={tiny_folder}", "training.max_steps=2", "data.limit=80", "benchmarks.pair-gap.limit=4",
        "evaluation.resamples=1000",
    ]  # fmt: skip
    if name == "diversified-synthesis":
        # A model of random weights has no equal distributions behind two versions.
        settings += [f"steps.{name}.{s}" for s in ("sets=4", "samples=2", "max_new_tokens=16", "max_js_gap=0.7")]
    if name == "preference-pairs":
        settings += [f"steps.{name}.limit=10"]
    if name == "bias-filter":
        settings += [f"steps.{name}.context_tokens=16"]
    return settings


@pytest.mark.parametrize("name", OWN)
def test_it_runs_on_a_tiny_model_and_accounts_for_every_row(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    result = evenhand.run(FOLDER / f"{name}.toml", overrides=quick(name, tiny_folder), output=tmp_path)
    record: dict[str, Any] = result.record
    assert record["status"] == "complete" and not record["faults"]
    steps = [step for step in record["steps"] if step["use"] == name]
    assert steps
    for step in steps:
        [rows] = step["rows"]
        assert rows["read"] > 0
        assert rows["out"] == rows["kept"] + rows["changed"] + rows["added"]
        moved = rows["changed"] + rows["added"] + sum(rows["dropped"].values())
        assert (moved > 0) == (name != "corpus-audit")
        assert (len(rows["examples"]) > 0) == (name != "corpus-audit")
        assert [proof["took"] for proof in step["proofs"] if proof["stage"] == "data"] == [True]
    report = result.report.read_text(encoding="utf-8")
    assert name in report


def test_the_audit_writes_sections_with_bars_before_and_after(tiny_folder: Path, tmp_path: Path) -> None:
    name = "corpus-audit"
    result = evenhand.run(FOLDER / f"{name}.toml", overrides=quick(name, tiny_folder), output=tmp_path)
    titles = [section["title"] for section in result.record["sections"]]
    assert titles == ["Datasheet: training text", "Datasheet: gender in the training text"] * 2
    before, after = (s for s in result.record["sections"] if "gender" in s["title"])
    shares = [{f["label"]: f["value"] for f in s["facts"]} for s in (before, after)]
    female, male = (f"words and names of {group} in 1,000 words" for group in ("female", "male"))
    found = [s[female] - s[male] for s in shares]
    assert abs(found[1]) < 1e-9  # after augmentation both groups are mentioned equally often
    assert "<svg" in result.report.read_text(encoding="utf-8")
    assert "Co-occurrence bias in nat" in json.dumps(after)


def test_each_recipe_of_ours_is_sound_and_is_in_this_list() -> None:
    files = {path.stem for path in FOLDER.glob("*.toml")}
    assert set(OWN) <= files
    for name in OWN:
        recipe = load_recipe(FOLDER / f"{name}.toml")
        assert name in {step.use for step in recipe.steps}

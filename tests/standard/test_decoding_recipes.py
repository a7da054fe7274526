"""The recipes of the decoding stage: each is sound, and runs from end to end on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.recipe import load_recipe
from evenhand_sdk.tiny import save_tiny

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "decoding"
PAGES = FOLDER.parents[1] / "techniques"
EVIDENCE = FOLDER.parents[1] / "evidence"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
OWN = (
    "abstention",
    "answer-rewriting",
    "contrastive-guidance",
    "expert-guidance",
    "gradient-decoding",
    "masked-rewriting",
    "probability-balancing",
    "prompt-intervention",
    "reranking",
    "self-debias",
)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def quick(name: str, tiny_folder: Path) -> list[str]:
    """Settings that make a run short; the steps stay what they are."""
    settings = [f"model.name={tiny_folder}", "evaluation.resamples=1000", "traffic.limit=2", "traffic.max_new_tokens=6"]
    for entry in load_recipe(FOLDER / f"{name}.toml").benchmarks:
        if entry.use in ("pair-gap", "text-degeneration"):
            settings.append(f"benchmarks.{entry.id or entry.use}.limit=4")
        if entry.use == "text-degeneration":
            settings += [f"benchmarks.{entry.id or entry.use}.{s}" for s in ("samples=2", "max_new_tokens=8")]
    return settings


@pytest.mark.parametrize("name", OWN)
def test_each_technique_has_a_recipe_a_page_and_a_recipe_of_evidence(name: str) -> None:
    assert name in NAMES
    assert any(step.use == name for step in load_recipe(FOLDER / f"{name}.toml").steps)
    assert (PAGES / f"{name}.md").read_text(encoding="utf-8").startswith(f"# {name}\n")
    assert (EVIDENCE / f"{name}.toml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_it_runs_on_a_tiny_model_and_is_there_when_the_result_is_loaded(
    name: str, tiny_folder: Path, tmp_path: Path
) -> None:
    result = evenhand.run(FOLDER / f"{name}.toml", overrides=quick(name, tiny_folder), output=tmp_path)
    record: dict[str, Any] = result.record
    assert record["status"] == "complete" and not record["faults"]
    [step] = [step for step in record["steps"] if step["use"] == name]
    assert [proof["took"] for proof in step["proofs"] if proof["stage"] == "decoding"] == [True]
    assert name in result.report.read_text(encoding="utf-8")
    assert isinstance(evenhand.load(result.folder).generate("The nurse said that", max_new_tokens=4), str)

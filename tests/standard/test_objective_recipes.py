"""The recipes of the objective stage: each runs from end to end on a tiny model and proves its terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand_sdk.tiny import save_tiny

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "objective"
OWN = {
    "adversarial": {"adversary of adversarial"},
    "gradient-reversal": {"adversaries of gradient-reversal"},
    "mgda": {"pair parity", "retention"},
    "pcgrad": {"pair parity", "retention"},
    "preference-optimisation": {"preference", "chosen", "retention"},
    "quality-budget": {"pair parity", "retention"},
    "smooth-tchebycheff": {"pair parity", "retention"},
    "unlearning": {"unlearning", "unrelated"},
    "upgrad": {"pair parity", "retention"},
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("name", sorted(OWN))
def test_it_runs_on_a_tiny_model_and_every_term_has_a_gradient(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    settings = [
        f"model.name={tiny_folder}", "training.max_steps=12", "data.limit=120", "benchmarks.pair-gap.limit=4",
        "evaluation.resamples=200", 'evaluation.controls="none"',
    ]  # fmt: skip
    if name in ("preference-optimisation", "unlearning"):
        step = "preference-pairs" if name == "preference-optimisation" else name
        settings.append(f"steps.{step}.limit=40")
    result = evenhand.run(FOLDER / f"{name}.toml", overrides=settings, output=tmp_path)
    record: dict[str, Any] = result.record
    assert record["status"] == "complete" and not record["faults"]
    (training,) = record["training"]
    assert set(training["terms"]) == {"language modelling", *OWN[name]}
    for term in OWN[name] - {"retention", "unrelated"}:
        assert training["terms"][term]["gradient_norm"] > 0
    if name == "quality-budget":
        watch = training["watch"]
        assert watch["budget"] == 1.02 and watch["criterion"] == "JS gap on validation pairs"
        assert [look["step"] for look in watch["looks"]] == [0, 10, 12]
        told = [e["text"] for e in record["events"] if e["stage"] == "training"]
        assert "12 of 120 rows are held out of the training as retention text" in told
        assert record["data"]["rows"] == 120 and record["data"]["rows_after"] == 108
    if name in ("adversarial", "gradient-reversal"):
        assert "A fresh probe for gender" in result.report.read_text(encoding="utf-8")

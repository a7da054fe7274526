"""The recipes of the objective stage: each runs from end to end on a tiny model and proves its terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand_sdk.tiny import save_tiny, tiny_sentences

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "objective"
OWN = {
    "adversarial": {"adversary of adversarial"},
    "control-codes": set(),
    "gradient-reversal": {"adversaries of gradient-reversal"},
    "mgda": {"pair parity", "retention"},
    "pair-contrast": {"pair contrast", "retention"},
    "pcgrad": {"pair parity", "retention"},
    "preference-optimisation": {"preference", "chosen", "retention"},
    "quality-budget": {"pair parity", "retention"},
    "smooth-tchebycheff": {"pair parity", "retention"},
    "unlearning": {"unlearning", "unrelated"},
    "unlikelihood": {"unlikelihood", "unrelated"},
    "unwanted-text": {"pair parity", "retention", "toxicity", "beside toxicity"},
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
    if name in ("preference-optimisation", "unlearning", "unlikelihood"):
        step = "preference-pairs" if name == "preference-optimisation" else name
        settings.append(f"steps.{step}.limit=40")
    if name == "unwanted-text":  # needs no published file
        (tmp_path / "unwanted.txt").write_text("\n".join(f"{line} It was bad." for line in tiny_sentences()[:20]))
        settings.append(f"steps.unwanted-text.texts={tmp_path / 'unwanted.txt'}")
    if name == "quality-budget":
        (tmp_path / "general.txt").write_text("\n".join(tiny_sentences()[:30]))
        settings.append(f"data.retention={tmp_path / 'general.txt'}")
    result = evenhand.run(FOLDER / f"{name}.toml", overrides=settings, output=tmp_path)
    record: dict[str, Any] = result.record
    assert record["status"] == "complete" and not record["faults"]
    (training,) = record["training"]
    assert set(training["terms"]) == {"language modelling", *OWN[name]}
    for term in OWN[name] - {"retention", "unrelated", "beside toxicity"}:
        assert training["terms"][term]["gradient_norm"] > 0
    if name == "quality-budget":
        watch = training["watch"]
        assert watch["budget"] == 1.02 and watch["criterion"] == "JS gap on validation pairs"
        assert [look["step"] for look in watch["looks"]] == [0, 10, 12]
        told = [e["text"] for e in record["events"] if e["stage"] == "training"]
        assert f"30 rows of {tmp_path / 'general.txt'} serve as retention text" in told
        assert record["data"]["rows"] == record["data"]["rows_after"] == 120
    if name in ("adversarial", "gradient-reversal"):
        assert "A fresh probe for gender" in result.report.read_text(encoding="utf-8")
    if name == "upgrad":
        assert "Is the context still used?" in result.report.read_text(encoding="utf-8")
    if name == "control-codes":
        (step,) = [step for step in record["steps"] if step["use"] == name]
        assert {proof["stage"] for proof in step["proofs"] if proof["took"]} == {"data", "decoding"}
    if name == "smooth-tchebycheff":
        shares = {term: facts["share"] for term, facts in training["terms"].items()}
        assert shares["language modelling"] > 0.01 and shares["pair parity"] > 0.01, shares


UNMEETABLE = """
[model]
name = "{folder}"
[data]
train = "builtin:everyday"
limit = 120
[training]
max_steps = 4
batch_size = 4
learning_rate = 3.0
language_modelling = 0.0
dual_step = 1e-9
evaluate_every = 2
[budget]
perplexity = 1.0
[traffic]
limit = 0
[evaluation]
controls = "none"
resamples = 200
[[steps]]
use = "pair-parity"
[[steps]]
use = "selective-update"
[[steps]]
use = "train"
constraint = "lagrangian"
[[benchmarks]]
use = "pair-gap"
limit = 4
"""


def test_a_run_whose_budget_cannot_be_met_says_so_and_keeps_the_model_as_it_was(
    tiny_folder: Path, tmp_path: Path
) -> None:
    result = evenhand.run(UNMEETABLE.format(folder=tiny_folder), output=tmp_path)
    record = result.record
    assert record["status"] == "complete"
    (training,) = record["training"]
    assert training["watch"]["kept"] == 0
    nearest = min(look["ratio"] for look in training["watch"]["looks"] if look["step"])
    (told,) = [e["text"] for e in record["events"] if "budget was not met" in e["text"]]
    assert record["data"]["rows_after"] == 108, "a tenth is held out"
    assert f"the nearest was {nearest:.4f} at step" in told and nearest > 1
    proof, *_ = next(s for s in record["steps"] if s["use"] == "selective-update")["proofs"]
    assert proof["took"] is False and proof["what"].startswith("0 of ")
    metric = record["benchmarks"][0]["metrics"][0]
    assert metric["before"]["value"] == pytest.approx(metric["after"]["value"], abs=1e-6)

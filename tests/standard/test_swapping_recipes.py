"""Recipes of steps that swap, balance and choose texts: each runs on a tiny model, beside its no-swap control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.report_controls import controls
from evenhand.report_reading import read_run
from evenhand_sdk.tiny import save_tiny

FOLDER = Path(__file__).parents[2] / "docs" / "recipes" / "data"
OWN = (
    "counterfactual-augmentation", "counterfactual-substitution", "group-balancing", "healthy-data-diet",
    "names-intervention",
)  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def counted_names(folder: Path) -> Path:
    """A small file of counts, so that the recipe needs no published one."""
    path = folder / "names.csv"
    path.write_text("name,female,male\nMary,900,3\nAnna,500,1\nEmma,300,1\nJohn,2,800\nPeter,1,400\nThomas,1,350\n")
    return path


def run_of(name: str, tiny_folder: Path, output: Path, *more: str) -> Any:
    settings = [
        f"model.name={tiny_folder}", "training.max_steps=30", "benchmarks.pair-gap.limit=4", "evaluation.resamples=200",
        'evaluation.controls=["continued-training"]', *more,
    ]  # fmt: skip
    if name == "names-intervention":
        settings.append(f"steps.names-intervention.counts={counted_names(output)}")
    return evenhand.run(FOLDER / f"{name}.toml", overrides=settings, output=output)


@pytest.mark.parametrize("name", OWN)
def test_it_accounts_for_every_row_and_its_control_reads_as_many_tokens(
    name: str, tiny_folder: Path, tmp_path: Path, own_cache: Path
) -> None:
    result = run_of(name, tiny_folder, tmp_path)
    record: dict[str, Any] = result.record
    assert record["status"] == "complete" and not record["faults"]
    step = next(step for step in record["steps"] if step["use"] == name)
    [rows] = step["rows"]
    assert rows["read"] == record["data"]["rows"] > 400
    assert rows["read"] == rows["kept"] + rows["changed"] + sum(rows["dropped"].values())
    assert rows["out"] == rows["kept"] + rows["changed"] + rows["added"] == record["data"]["rows_after"]
    assert len(rows["examples"]) == 10
    assert [proof["took"] for proof in step["proofs"] if proof["stage"] == "data"] == [True]
    control = next(c for c in record["controls"] if c["id"] == "continued-training")
    assert control["state"] == "run"
    # 30 updates of 8 rows, whose lengths spread by a third: two per cent; and whole updates.
    assert control["tokens"] == pytest.approx(control["run_tokens"], rel=0.1)
    [line] = [line for line in controls(read_run(result.folder)) if line.startswith("continued-training")]
    assert line.startswith(
        "continued-training, the no-swap control on the text as it was "
        f"({control['tokens']:,} tokens, {control['run_tokens']:,} in the run"
    )


def test_a_control_of_much_shorter_texts_makes_more_updates(tiny_folder: Path, tmp_path: Path, own_cache: Path) -> None:
    """Where a step keeps the long texts only, as many updates on the text as it was would read fewer tokens."""
    text = tmp_path / "texts.txt"
    text.write_text("\n".join(["She sings."] * 200 + ["She said that she works in the town. " * 4] * 20))
    how = (f"data.train={text}", "steps.group-balancing.group=text", "steps.group-balancing.method=temperature",
           "steps.group-balancing.tau=0.35")  # fmt: skip
    record = run_of("group-balancing", tiny_folder, tmp_path, *how).record
    [control] = [c for c in record["controls"] if c["id"] == "continued-training"]
    told = record["training"][0]
    assert told["steps"] == 30
    assert control["tokens"] == pytest.approx(control["run_tokens"], rel=0.15)


def test_the_weights_of_balanced_texts_reach_the_loss(tiny_folder: Path, tmp_path: Path, own_cache: Path) -> None:
    record = run_of("group-balancing", tiny_folder, tmp_path, "steps.group-balancing.apply=weigh").record
    step = next(step for step in record["steps"] if step["use"] == "group-balancing")
    assert {proof["stage"]: proof["took"] for proof in step["proofs"]} == {"data": True, "objective": True}
    assert record["training"][0]["terms"]["weights of rows"]["gradient_norm"] > 0
    assert step["rows"][0]["kept"] == step["rows"][0]["out"]


def test_the_random_diet_is_of_the_same_size(tiny_folder: Path, tmp_path: Path, own_cache: Path) -> None:
    runs = [run_of("healthy-data-diet", tiny_folder, tmp_path, *more).record for more in
            ((), ("steps.healthy-data-diet.selection=random",))]  # fmt: skip
    sizes = [next(s for s in r["steps"] if s["use"] == "healthy-data-diet")["rows"][0] for r in runs]
    assert [(s["kept"], s["added"]) for s in sizes[:1]] == [(s["kept"], s["added"]) for s in sizes[1:]]

"""What cannot work in a training, in a whole run: a clear error, or a decision that stands in the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evenhand import api
from evenhand.errors import NoEffect, RunNotFound, TrainingDiverged, UsageError
from evenhand.life_training import shared_selections
from evenhand.report_reading import raw_run
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("trial", "own_cache")

TEXT = "The nurse said that she would come back later.\nRain fell on the town all morning long.\n" * 50
BENCHMARK = '[[benchmarks]]\nuse = "trial-length"\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_tiny(tmp_path / "tiny")
    (tmp_path / "train.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(place: Path, steps: str, training: str = "max_steps = 4\n") -> Path:
    path = place / "bad.toml"
    path.write_text(
        f'[model]\nname = "tiny"\n[data]\ntrain = "train.txt"\n[training]\nlearning_rate = 1e-3\n{training}'
        f"[traffic]\nlimit = 0\n[evaluation]\nresamples = 50\ncontrols = 'none'\n{steps}{BENCHMARK}"
    )
    return path


def faulty(at: str) -> str:
    return f'[[steps]]\nuse = "trial-faulty-loss"\nat = "{at}"\n'


def events(record: dict[str, Any]) -> list[str]:
    return [e["text"] for e in record["events"]]


def test_an_always_zero_term_fails_the_run_unless_it_is_an_anchor(place: Path) -> None:
    with pytest.raises(NoEffect) as raised:
        api.run(written(place, faulty("zero")))
    assert "faulty: largest gradient norm measured 0" in str(raised.value)
    assert api.run(written(place, faulty("zero anchor"))).record["status"] == "complete"


def test_a_missing_column_is_told_with_the_ones_that_are_there(place: Path) -> None:
    with pytest.raises(UsageError) as raised:
        api.run(written(place, faulty("column")))
    assert (
        str(raised.value)
        .splitlines()[0]
        .endswith("the loss term 'faulty' reads the column 'mood', which the training data does not have")
    )
    assert "its columns are text" in str(raised.value)


def test_a_loss_that_is_no_number_stops_by_name(place: Path) -> None:
    with pytest.raises(TrainingDiverged, match="faulty"):
        api.run(written(place, faulty("nan")))


def test_weights_that_come_to_nothing_are_refused(place: Path) -> None:
    with pytest.raises(UsageError, match="there is nothing to learn: every weight is 0"):
        api.run(written(place, '[[steps]]\nuse = "train"\nlanguage_modelling = 0\n'))


def test_a_resume_with_a_changed_recipe_is_refused(place: Path) -> None:
    with pytest.raises(TrainingDiverged):
        api.run(written(place, faulty("nan")))
    begun = next((place / "runs").glob("bad-*"))
    with pytest.raises(RunNotFound) as raised:
        api.run(written(place, faulty("nan"), "max_steps = 5\n"), resume=True)
    assert str(raised.value) == (
        "no run of 'bad' to resume in 'runs'\n"
        f"  {begun.name} was begun with other settings: training.max_steps (4, now 5)\n"
        "  give the settings that it began with, or start a new run without --resume"
    )
    assert raw_run(begun)["status"] == "failed", "what was begun is as it was"


def test_a_resume_with_its_steps_in_another_order_names_the_order(place: Path) -> None:
    norms = '[[steps]]\nuse = "trial-norms"\n'
    with pytest.raises(TrainingDiverged):
        api.run(written(place, f"{norms}{faulty('nan')}"))
    begun = next((place / "runs").glob("bad-*"))
    with pytest.raises(RunNotFound) as raised:
        api.run(written(place, f"{faulty('nan')}{norms}"), resume=True)
    first, second = (step["id"] for step in raw_run(begun)["recipe"]["steps"][:2])
    assert raised.value.known == (
        f"{begun.name} was begun with other settings: the order of its steps ({first}, {second}, now {second}, {first})"
    )


def test_two_steps_that_select_the_same_parameters_share_them_and_the_record_says_so(place: Path) -> None:
    steps = '[[steps]]\nuse = "trial-norms"\n[[steps]]\nuse = "trial-norms"\nid = "again"\n'
    record = api.run(written(place, steps)).record
    told = [text for text in events(record) if "both select" in text]
    assert len(told) == 1 and told[0].startswith("trial-norms and again both select model.layers.0.")
    assert told[0].endswith("; what both select is trained once, for both")
    assert shared_selections([("a", {"x", "y"}), ("b", {"z"}), ("c", {"y", "x"})]) == [
        "a and c both select x and 1 more; what both select is trained once, for both"
    ]


def test_a_budget_that_cannot_be_met_leaves_the_model_as_it_was_and_says_how_near_it_came(place: Path) -> None:
    training = 'max_steps = 6\nconstraint = "lagrangian"\ndual_step = 1e-6\nevaluate_every = 2\n'
    path = written(place, faulty("push"), training + "language_modelling = 0.0001\n")
    path.write_text(path.read_text().replace("1e-3", "0.05") + "[budget]\nperplexity = 1.0\n")
    record = api.run(path).record
    told = [text for text in events(record) if text.startswith("the budget was not met")]
    looks = [look for look in record["training"][0]["watch"]["looks"] if look["step"]]
    nearest = min(looks, key=lambda look: look["ratio"])
    assert nearest["ratio"] > 1 and record["training"][0]["watch"]["kept"] == 0
    assert told == [
        "the budget was not met: at most 1 times the perplexity on retention text is allowed, the nearest was "
        f"{nearest['ratio']:.4f} at step {nearest['step']}; the model is as it was before this training"
    ]
    metric = record["benchmarks"][0]["metrics"][0]
    assert metric["before"]["value"] == metric["after"]["value"]


def test_the_log_of_a_training_has_each_term_by_name_and_stays_in_the_run_folder(place: Path) -> None:
    training = "max_steps = 5\nlog_every = 2\n[budget]\nperplexity = 1.5\n"
    run = api.run(written(place, faulty("zero anchor"), training))
    lines = [json.loads(line) for line in (run.folder / "training" / "train.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert all(line["terms"].keys() == {"language modelling", "faulty"} for line in lines)
    assert all(line["terms"]["faulty"] == 0 < line["terms"]["language modelling"] for line in lines)
    told = "the budget is checked after the run; with data.retention it would hold while training, too"
    assert told in events(run.record), "the budget is named, the text to hold it on is not"


def test_an_integration_that_is_not_installed_is_told_before_anything_is_done(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations import integration_utils

    monkeypatch.delitem(integration_utils.INTEGRATION_TO_CALLBACK, "wandb")
    with pytest.raises(UsageError, match="this version of transformers does not report to 'wandb'"):
        api.run(written(place, '[[steps]]\nuse = "train"\n', 'report_to = ["wandb"]\n'))
    assert not (place / "runs").exists()

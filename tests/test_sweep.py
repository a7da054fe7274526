"""`toolkit sweep`: a search on validation items that goes on where it was, and says how much it tried."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from evenhand import api, sweep_study
from evenhand.cli import toolkit
from evenhand.configurations import badness
from evenhand.discovery import discover
from evenhand.errors import PluginFault, RecipeError, UsageError
from evenhand.item_halves import half_of
from evenhand.item_records import read_records
from evenhand.recipe import load_recipe
from evenhand.report_reading import read_run
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult, MetricResult
from evenhand.sweep import Sweep, sweep
from evenhand.sweep_report import label, print_sweep, sweep_page, worth
from evenhand.sweep_study import Trial, front
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("trial", "own_cache")

SWEEP = """
[sweep]
trials = {trials}
sampler = "{sampler}"
population = 2
[sweep.parameters]
"steps.trial-scale.strength" = {{ low = 0.1, high = 0.9 }}
"""
BODY = """
[traffic]
limit = 0
[evaluation]
resamples = 100
[[steps]]
use = "trial-scale"
[[benchmarks]]
use = "trial-length"
[[benchmarks]]
use = "trial-quality"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_tiny(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(place: Path, *, trials: int = 3, sampler: str = "nsga2", extra: str = "", body: str = BODY) -> Path:
    path = place / "searched.toml"
    path.write_text(f'[model]\nname = "tiny"\n{SWEEP.format(trials=trials, sampler=sampler)}{extra}{body}')
    return path


def swept(path: Path, folder: str = "found", **given: Any) -> Sweep:
    return sweep(load_recipe(path, **given, catalogue=discover()), Path(folder))


# --------------------------------------------------------------------------------------------------------- front
points = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9)


@given(points)
def test_the_front_holds_what_nothing_dominates(found: list[tuple[int, int]]) -> None:
    kept = front(dict(enumerate(found)))
    for number, own in enumerate(found):
        better = [o for o in found if o[0] <= own[0] and o[1] <= own[1] and o != own]
        first = found.index(own) == number
        assert (number in kept) == (not better and first)
    assert bool(kept) == bool(found)


# --------------------------------------------------------------------------------------------------------- search
def test_a_sweep_looks_at_the_validation_half_alone_and_its_front_is_reported_on_the_other(place: Path) -> None:
    path = written(place)
    found = swept(path)
    assert [t.state for t in found.trials] == ["complete"] * 3
    assert found.objectives == ["trial-length.surprise", "trial-quality.perplexity"]
    assert found.tried == 3
    for number, trial in enumerate(found.trials):
        folder = next((found.folder / "trials" / f"{number:04d}").glob("searched-*"))
        record = read_run(folder)
        metrics = [next(m for m in b.metrics if m.primary) for b in record.benchmarks]
        assert list(trial.objectives) == [m.after.value for m in metrics], "what a run of its own says"
        assert f"steps.trial-scale.strength={trial.values['steps.trial-scale.strength']!r}" in record.overrides
        for name in ("trial-length", "trial-quality"):
            clusters = {r.cluster for r in read_records(folder / "items" / f"{name}.parquet")["after"]}
            assert {half_of(c) for c in clusters} == {"validation"}
        assert not (folder / "model").exists(), "a recipe makes it again"
    assert len(found.recipes) == len([t for t in found.trials if t.front]) > 0
    number, recipe = next(iter(found.recipes.items()))
    chosen = load_recipe(recipe, catalogue=discover())
    assert chosen.steps[0].options == {"strength": found.trials[number].values["steps.trial-scale.strength"]}
    result = api.run(recipe)
    assert result.record["recipe"]["searched"] == {"configurations": 3, "items": "validation", "study": found.study}
    clusters = {r.cluster for r in read_records(result.folder / "items" / "trial-length.parquet")["after"]}
    assert {half_of(c) for c in clusters} == {"reported"}
    said = "This configuration was chosen among 3 that were tried on the validation half of the items"
    assert said in result.report.read_text()
    assert said in " ".join((result.folder / "README.md").read_text().split())


def test_a_sweep_goes_on_where_it_was_and_draws_what_one_call_would_have_drawn(place: Path) -> None:
    whole = swept(written(place, trials=4), "whole")
    swept(written(place, trials=2), "parts")
    stamp = {p: p.stat().st_mtime_ns for p in Path("parts").glob("trials/*/*/run.json")}
    parts = swept(written(place, trials=4), "parts")
    assert len(stamp) == 2 and all(p.stat().st_mtime_ns == t for p, t in stamp.items()), "nothing is run twice"
    assert [dict(t.values) for t in parts.trials] == [dict(t.values) for t in whole.trials]
    assert [t.objectives for t in parts.trials] == [t.objectives for t in whole.trials]
    assert len({t.values["steps.trial-scale.strength"] for t in whole.trials}) == 4


def test_a_later_run_that_is_not_finished_does_not_hide_the_one_whose_numbers_count(place: Path) -> None:
    path = written(place, trials=1)
    [(number, record)] = swept(path).records.items()
    done = next((place / "found" / "trials" / f"{number:04d}").glob("searched-*"))
    later = done.with_name(done.name[:-1] + chr(ord(done.name[-1]) + 1))
    shutil.copytree(done, later)
    begun = json.loads((later / "run.json").read_text())
    (later / "run.json").write_text(json.dumps({**begun, "status": "running", "benchmarks": []}))
    assert later.name > done.name
    again = swept(path).records[number]
    assert again.status == "complete" and again.benchmarks == record.benchmarks


def test_what_was_not_searched_for_stands_beside_the_front(place: Path) -> None:
    path = written(place, trials=2, sampler="tpe")
    path.write_text(path.read_text().replace("population = 2", 'objectives = ["trial-length"]'))
    found = swept(path)
    page = sweep_page(found)
    side = next(t for t in page.tables if t.title == "What was not searched for")
    (best,) = [t.number for t in found.trials if t.front]
    assert len(side.header) == 2 and side.header[1].startswith(found.untouched.benchmarks[1].label)
    assert [row[0] for row in side.rows] == ["untouched", str(best)]
    value = found.records[best].benchmarks[1].primary.after.value  # type: ignore[union-attr]
    assert float(side.rows[1][1].split()[0].replace(",", "")) == pytest.approx(value, rel=0.01)


WORTH = "Hypervolume of the front, in shares of what the untouched model has, of which {}: {} (0: nothing is better in "


@pytest.mark.parametrize(
    ("metric", "budget", "tried", "said", "volume"),
    [
        # The gap halves in both trials: 0.5. Of perplexity 20 may become 20.4: (20.4 - 20.2) / 20.
        (MetricResult(name="perplexity", better="lower", after={"value": 20.0}), 1.02, [20.2, 20.5],
         "Ability: perplexity (lower is better) may have 1.02 times as much", "0.005"),
        # Accuracy has a margin of one point, whatever the budget: 40 may become 39, (39.5 - 39) / 40.
        (MetricResult(name="accuracy", unit="%", better="higher", after={"value": 40.0}, definition={"margin": 1.0}),
         1.02, [39.5, 38.9], "Ability: accuracy, % (higher is better) may lose 1", "0.00625"),
        # Without one it may be divided by the budget: 40 may become 32, (36 - 32) / 40.
        (MetricResult(name="accuracy", unit="%", better="higher", after={"value": 40.0}), 1.25, [36.0, 31.0],
         "Ability: accuracy, % (higher is better) may have 1.25 times less", "0.05"),
    ],
)  # fmt: skip
def test_a_front_that_costs_less_quality_than_allowed_is_worth_something(
    metric: MetricResult, budget: float, tried: list[float], said: str, volume: str, place: Path
) -> None:
    gap = MetricResult(name="gap", better="lower", after={"value": 0.2})  # type: ignore[arg-type]
    measured = [
        BenchmarkResult(id="bias", title="Gap", metrics=[gap]),
        BenchmarkResult(id="ability", title="Ability", quality=True, metrics=[metric]),
    ]
    untouched = RunRecord.model_construct(benchmarks=measured)
    trials = [
        Trial(number=k, values={}, state="complete", objectives=(0.1, badness(metric, x) or 0.0), front=True)
        for k, x in enumerate(tried)
    ]
    recipe = load_recipe(written(place), overrides=[f"budget.perplexity={budget}"], catalogue=discover())
    names = ["bias.gap", f"ability.{metric.name}"]
    found = Sweep(
        folder=place, recipe=recipe, study="", objectives=names, trials=trials, untouched=untouched, records={},
        recipes={},
    )  # fmt: skip
    (told,) = worth(found, trials)
    assert told == WORTH.format(said, volume) + "every objective)."


def test_a_trial_that_a_killed_worker_left_is_finished_with_its_values(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evenhand.sweep as module

    path = written(place, trials=2, sampler="tpe")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_try", killed)
        with pytest.raises(KeyboardInterrupt):
            swept(path)
    found = swept(path)
    assert [(t.number, t.state) for t in found.trials] == [(0, "complete"), (1, "complete")]


@pytest.mark.slow
def test_two_workers_share_one_search(place: Path) -> None:
    path = written(place, trials=4)
    command = [sys.executable, "-m", "evenhand", "sweep", str(path), "--output", "shared", "--quiet"]
    environment = {"PYTHONPATH": str(Path(__file__).parent / "trial_site")}
    import os

    workers = [subprocess.Popen(command, env={**os.environ, **environment}) for _ in range(2)]
    assert [w.wait() for w in workers] == [0, 0]
    found = swept(path, "shared")
    assert [t.state for t in found.trials] == ["complete"] * 4
    assert len(list(Path("shared").glob("trials/*/*/run.json"))) == 4
    assert len(list(Path("shared").glob("untouched/*/run.json"))) == 1


def test_equal_configurations_are_run_once_and_count_once(place: Path) -> None:
    choices = '"steps.trial-scale.strength" = [0.5]\n'
    path = written(place, trials=3)
    path.write_text(path.read_text().replace('"steps.trial-scale.strength" = { low = 0.1, high = 0.9 }\n', choices))
    found = swept(path)
    assert found.tried == len(found.trials) == 1, "there is no second one, so the search ends"
    assert len(list(Path("found").glob("trials/*/*/run.json"))) == 1


def test_a_configuration_that_fails_is_recorded_and_counted(place: Path) -> None:
    body = BODY.replace(
        '[[steps]]\nuse = "trial-scale"', '[[steps]]\nuse = "trial-scale"\n[[steps]]\nuse = "trial-raise"'
    )
    extra = '"steps.trial-raise.active" = [true, false]\n'
    path = written(place, trials=6, extra=extra, body=body + "[data]\ntrain = 'train.txt'\n[training]\nmax_steps = 1\n")
    (place / "train.txt").write_text("The nurse said that she was tired of it.\n" * 4)
    found = swept(path)
    states = {t.values["steps.trial-raise.active"]: t.state for t in found.trials}
    assert states == {True: "failed", False: "complete"}, "a seed that draws both"
    failed = next(t for t in found.trials if t.state == "failed")
    assert "something is odd" in failed.reason
    assert found.tried == 6
    page = sweep_page(found)
    assert "6 configurations tried" in page.answer[0] and "failed" in page.answer[0]
    always = path.read_text().replace("[true, false]", "[true]")
    path.write_text(always.replace("trials = 6", "trials = 1"))
    with pytest.raises(PluginFault, match="something is odd"):
        swept(path, "never")


def test_what_one_configuration_cannot_do_does_not_stop_the_others(place: Path) -> None:
    """A term whose column is missing is refused by its training; the search goes on, also when it is called again."""
    body = BODY + '[[steps]]\nuse = "trial-faulty-loss"\n[data]\ntrain = "train.txt"\n[training]\nmax_steps = 1\n'
    (place / "train.txt").write_text("The nurse said that she was tired of it.\n" * 4)
    path = written(place, trials=2, body=body)
    text = path.read_text().replace('"steps.trial-scale.strength" = { low = 0.1, high = 0.9 }\n', "")
    path.write_text(
        text.replace("[sweep.parameters]\n", '[sweep.parameters]\n"steps.trial-faulty-loss.at" = ["", "column"]\n')
    )
    for _ in range(2):
        found = swept(path)
        states = {t.values["steps.trial-faulty-loss.at"]: t.state for t in found.trials}
        assert states == {"": "complete", "column": "failed"}
    assert "reads the column 'mood'" in next(t.reason for t in found.trials if t.state == "failed")


def test_a_defect_that_one_configuration_meets_does_not_stop_the_others(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the sweep is called again: the one that met it is not tried for ever."""
    from evenhand import sweep as module

    original, met = module._try, []

    def first_breaks(recipe: Any, study: Any, trial: Any, *more: Any, **named: Any) -> None:
        if not met or met[0] == trial.number:
            met.append(trial.number)
            raise RuntimeError("the size of tensor a must match")
        original(recipe, study, trial, *more, **named)

    monkeypatch.setattr(module, "_try", first_breaks)
    path = written(place, trials=2)
    for _ in range(2):
        found = swept(path)
        assert sorted(t.state for t in found.trials) == ["complete", "failed"]
    assert len(met) == 1
    failed = next(t for t in found.trials if t.state == "failed")
    assert failed.reason == "a defect in the toolkit (RuntimeError: the size of tensor a must match)"


def test_a_full_disk_stops_the_search(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand import sweep as module

    def full(*given: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_try", full)
    with pytest.raises(OSError, match="No space left"):
        swept(written(place, trials=2))


# ------------------------------------------------------------------------------------------------------ bad input
def test_every_problem_of_a_sweep_is_told_at_once(place: Path) -> None:
    extra = (
        '"steps.trial-scale.strengh.x.y" = [1]\n"steps.nobody.strength" = [0.5]\n'
        '"benchmarks.trial-length.items" = [3]\n'
        '"training.batch_sice" = [1]\n"training.warmup" = { low = 0.5, high = 0.1 }\n'
        '"training.learning_rate" = { low = 0, high = 0.1, log = true }\n"training.max_steps" = [4, 4]\n'
    )
    path = written(place, extra=extra)
    path.write_text(
        path.read_text().replace("population = 2", 'population = 2\nobjectives = ["trial-lenght", "trial-quality"]')
    )
    with pytest.raises(RecipeError) as raised:
        load_recipe(path, catalogue=discover())
    assert raised.value.problems == [
        "sweep.parameters.training.warmup: low is 0.5 and high is 0.1; low must be the smaller one, and is not a list",
        "sweep.parameters.training.learning_rate: a logarithmic scale has no 0; low must be above 0, and is not a list",
    ]
    path.write_text("\n".join(x for x in path.read_text().split("\n") if "warmup" not in x and "_rate" not in x))
    with pytest.raises(RecipeError) as raised:
        load_recipe(path, catalogue=discover())
    assert raised.value.problems == [
        "sweep.parameters.'steps.nobody.strength': no id 'nobody' in [[steps]] (ids: trial-scale)",
        "sweep.parameters.'benchmarks.trial-length.items': 'benchmarks' is the same for every configuration; "
        "a sweep sets keys of steps, training, data",
        "sweep.parameters.'training.batch_sice': unknown key training.batch_sice; did you mean 'batch_size'? "
        "(known: max_steps, max_tokens, batch_size, learning_rate, max_length, warmup, weight_decay, gradient_clip, "
        "precision, gradient_accumulation, save_every, language_modelling, normalise, constraint, dual_step, "
        "evaluate_every, log_every, report_to, logits)",
        "sweep.parameters.'training.max_steps': a choice is named twice",
        "sweep.objectives: no benchmark 'trial-lenght'; did you mean 'trial-length'? "
        "(benchmarks: trial-length, trial-quality)",
        "sweep.parameters.'steps.trial-scale.strengh.x.y' at 1: steps[1].strengh: unknown option; did you mean "
        "'strength'? (known: strength, folds, why)",
    ]


def test_values_that_an_option_refuses_are_told_before_anything_runs(place: Path) -> None:
    extra = '"training.max_steps" = { low = 1, high = 9 }\n"training.warmup" = [0.1, 2.0]\n'
    with pytest.raises(RecipeError) as raised:
        swept(written(place, extra=extra))
    assert raised.value.problems == [
        "sweep.parameters.'training.max_steps' at 1.0: training.max_steps: 1.0 is not a whole number; "
        "for whole numbers give step = 1",
        "sweep.parameters.'training.warmup' at 2.0: training.warmup: 2.0 is not at most 1",
    ]
    assert not Path("found").exists()


def test_values_are_tried_also_where_another_key_is_unknown(place: Path) -> None:
    extra = '"steps.nobody.strength" = [0.5]\n"training.warmup" = [0.1, 2.0]\n"training.save_every" = [0]\n'
    with pytest.raises(RecipeError) as raised:
        load_recipe(written(place, extra=extra), catalogue=discover())
    assert raised.value.problems == [
        "sweep.parameters.'steps.nobody.strength': no id 'nobody' in [[steps]] (ids: trial-scale)",
        "sweep.parameters.'training.warmup' at 2.0: training.warmup: 2.0 is not at most 1",
        "sweep.parameters.'training.save_every' at 0: training.save_every: 0 is not at least 1",
    ]


def test_a_recipe_without_a_space_or_with_unknown_objectives_is_refused(place: Path) -> None:
    path = written(place)
    bare = place / "bare.toml"
    bare.write_text('[model]\nname = "tiny"\n' + BODY)
    with pytest.raises(RecipeError, match="there is nothing to search"):
        swept(bare)
    path.write_text(path.read_text().replace("population = 2", 'objectives = ["trial-length.surprize"]'))
    with pytest.raises(RecipeError) as raised:
        swept(path)
    assert raised.value.problems == [
        "sweep.objectives: no 'trial-length.surprize'; did you mean 'trial-length.surprise'? "
        "(known: trial-length.surprise)"
    ]


def test_a_folder_with_another_search_is_refused(place: Path) -> None:
    swept(written(place, trials=1))
    with pytest.raises(UsageError) as raised:
        swept(written(place, trials=1), overrides=["evaluation.resamples=101"])
    assert str(raised.value) == (
        "found: this folder holds the search of another recipe\n"
        "  they differ in evaluation; only sweep.trials may grow\n"
        "  name another folder with --output, or take the change back"
    )


def test_without_the_library_the_error_names_the_extra(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError) as raised:
        swept(written(place))
    assert str(raised.value).splitlines()[0] == "sweep: a sweep needs optuna, which is not installed"
    assert str(raised.value).splitlines()[-1] == "  pip install 'evenhand[sweep]'"


def test_the_command_prints_the_front_and_writes_the_page(place: Path) -> None:
    path = written(place, trials=2)
    shown = CliRunner().invoke(toolkit, ["sweep", str(path)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    assert "2 configurations tried on the validation items" in " ".join(shown.output.split())
    assert "The front" in shown.output and "toolkit run sweeps/searched/front/searched-" in shown.output
    page = (place / "sweeps/searched/report.html").read_text()
    assert page.count("<svg x=") == 3, "two configurations and the untouched model"
    assert "src=" not in page and "<script" not in page
    assert json.loads((place / "sweeps/searched/sweep.json").read_text())["sweep"].get("trials") is None


def test_too_few_items_for_the_budget_are_told_before_the_trials_and_on_the_page(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = swept(written(place, trials=1, body=f"{BODY}items = 8\n"))
    few = sum(half_of(str(k)) == "validation" for k in range(8))
    said = (
        "No configuration can be shown to be within the budget of 1.02, whatever it costs, on the validation items: "
        f"trial-quality: too few items: {few} items in {few} independent groups; 30 items in 10 groups are needed. "
        "A longer held-out text or another `limit` has more."
    )
    assert capsys.readouterr().err.count(said) == 1
    assert sweep_page(found).answer[1] == said


def test_an_objective_that_holds_by_construction_says_so(place: Path) -> None:
    found = swept(written(place, trials=1))
    assert not any("by construction" in said for said in sweep_page(found).answer)
    (record,) = found.records.values()
    first, *rest = record.benchmarks
    first = first.model_copy(update={"verdict": "by construction, not evidence"})
    known = replace(found, records={0: record.model_copy(update={"benchmarks": [first, *rest]})})
    assert sweep_page(known).answer[1] == (
        f"All items of {label(found.untouched, found.objectives[0])} use words that the steps work with: what the "
        "search found there is by construction, not evidence."
    )
    out = io.StringIO()
    print_sweep(known, Console(file=out, width=100))
    assert "is by construction, not evidence." in " ".join(out.getvalue().split())


def test_a_log_is_read_by_the_library_alone(place: Path) -> None:
    """The storage needs no database: one file of JSON lines."""
    swept(written(place, trials=1))
    lines = (place / "found" / sweep_study.LOG).read_text().splitlines()
    assert len(lines) > 3 and all(isinstance(json.loads(line), dict) for line in lines)

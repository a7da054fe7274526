"""Benchmarks on a model without mitigation: what is written, printed and refused, and what is not done twice."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import evenhand
from evenhand import api, measured
from evenhand.cli import toolkit
from evenhand.errors import (
    DigestMismatch,
    EvenhandError,
    ModelNotFound,
    NoEffect,
    PluginFault,
    RecipeError,
    RunNotFound,
    UsageError,
)
from evenhand.evaluation_entry import measured_entry
from evenhand.evaluation_summary import print_evaluation
from evenhand.evidence import compare_benchmark
from evenhand.item_records import read_records
from evenhand.report import render_report
from evenhand.report_reading import raw_run, read_run
from evenhand.sample import Table, value_of
from evenhand_sdk import Benchmark, ItemRecord, Metric, Plugin, Sample, hookimpl
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("trial", "own_cache")

FAST = ("evaluation.resamples=200",)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two tiny models and a little text."""
    save_tiny(tmp_path / "tiny")
    save_tiny(tmp_path / "masked", family="bert")
    (tmp_path / "train.txt").write_text("The nurse said that she would come back.\nRain fell on the town.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(toolkit, ["eval", *arguments])


def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the texts that any model is asked about from now on."""
    asked: list[int] = []
    original = measured.Measured.score

    def score(self: Any, texts: Any, *more: Any, **named: Any) -> Any:
        asked.append(len(texts))
        return original(self, texts, *more, **named)

    monkeypatch.setattr(measured.Measured, "score", score)
    return asked


# ------------------------------------------------------------------------------------------------- the evaluation
def test_an_evaluation_folder_holds_the_record_the_scores_and_a_page(place: Path) -> None:
    found = evenhand.evaluate("./tiny", ["trial-length", "trial-quality"], overrides=FAST, seed=3)
    record = found.record
    assert (record["kind"], record["status"], record["seed"], record["schema"]) == ("evaluation", "complete", 3, 1)
    assert found.folder.parent == Path("runs") and found.folder.name.startswith("eval-tiny-")
    assert sorted(record["files"]) == ["items/trial-length.parquet", "items/trial-quality.parquet"]
    assert {len(digest) for digest in record["files"].values()} == {64}
    assert (record["model"]["kind"], record["model"]["display_name"]) == ("causal", "tiny")
    assert {"digest", "tokenizer_fingerprint", "adds_bos", "dtype"} <= set(record["model"])
    assert not (found.folder / "model").exists()
    entry = found.benchmarks[0]
    assert (entry["id"], entry["use"]) == ("trial-length", "trial-length")
    assert (entry["n_items"], entry["n_clusters"]) == (40, 20)
    assert entry["scoring"].startswith("log-likelihood from the")
    # The value, from the records by hand.
    records = found.records("trial-length")
    mean = sum(r.values["nll"] for r in records) / 40
    metric = entry["metrics"][0]
    assert metric["after"]["value"] == pytest.approx(mean)
    assert metric["after"]["low"] < mean < metric["after"]["high"]
    assert "before" not in metric
    assert "verdict" not in entry
    assert json.loads((found.folder / "run.json").read_text()) == record
    page = found.report.read_text()
    assert "<h1>tiny, measured</h1>" in page and "Surprise" in page and entry["scoring"] in page
    assert page == render_report(read_run(found.folder))


def test_the_interval_is_that_of_a_run_with_the_same_seed() -> None:
    def spread(sample: Sample) -> Any:
        return sample.mean("v") - sample.mean("w")

    records = [
        ItemRecord(id=str(k), cluster=str(k // 2), values={"v": k % 7, "w": 1.0}, flags={"tie": k % 5 == 0})
        for k in range(40)
    ]
    records.append(ItemRecord(id="none", cluster="x", values={}, flags={"unparsed": True}))
    benchmark = Benchmark(
        name="b",
        title="B",
        score=lambda m: [],
        good="Near three.",
        metrics=[
            Metric(name="ratio", value="v", per="w", better="lower"),
            Metric(name="spread", statistic=spread, target=0.0, primary=True),
        ],
    )
    entry = measured_entry(benchmark, records, resamples=500, seed=4)
    compared = compare_benchmark(benchmark, records, records, resamples=500, seed=4)
    assert [m["after"] for m in entry["metrics"]] == [m["before"] for m in compared["metrics"]]
    assert [m["definition"] for m in entry["metrics"]] == [m["definition"] for m in compared["metrics"]]
    assert entry["metrics"][0]["after"]["value"] == value_of(benchmark.metrics[0], Table.of(records))
    assert [m["primary"] for m in entry["metrics"]] == [False, True]
    assert (entry["unscored"], entry["flags"], entry["good"]) == (1, {"tie": 8, "unparsed": 1}, "Near three.")
    assert entry["enough"] is True
    assert measured_entry(benchmark, records[:29], resamples=50)["enough"] is False


def test_records_that_are_not_sound_are_told_without_a_mitigation_that_was_none() -> None:
    benchmark = Benchmark(
        name="b", title="B", score=lambda m: [], metrics=[Metric(name="v", value="v", better="lower")]
    )
    for values, told in (([], "it gave no records"), ([float("nan")], "item '0' has v = nan")):
        records = [ItemRecord(id=str(k), cluster=str(k), values={"v": v}) for k, v in enumerate(values)]
        with pytest.raises(PluginFault) as caught:
            measured_entry(benchmark, records)
        assert str(caught.value).split("\n")[0] == f"benchmark 'b': {told}"


def test_what_is_printed(place: Path) -> None:
    result = call("./tiny", "-b", "trial-length", "-b", "trial-quality", "--set", "trial-length.items=12", *_fast())
    assert result.exit_code == 0, result.stderr
    (folder,) = Path("runs").iterdir()
    length, quality = read_run(folder).benchmarks
    value, low, high = (getattr(length.metrics[0].after, k) for k in ("value", "low", "high"))
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[0] == "tiny: measured, nothing changed"
    assert "  Surprise" in lines and "    12 items in 6 clusters" in lines
    row = next(line for line in lines if line.strip().startswith("surprise"))
    assert f"{value:.3g}"[:3] in row and " nat " in row and row.endswith("lower is better")
    assert f"[{low:.1f}"[:4] in row and f"{high:.1f}"[:3] in row
    assert lines.count("    counted: nothing excluded, no flags") == 2
    assert lines.count("    Too few items for an interval worth reading.") == 1  # 40 passages are enough
    assert str(folder / "report.html") in result.stdout
    assert max(map(len, lines)) <= 100
    assert str(evenhand.evaluating.Evaluation(folder, raw_run(folder))) == result.stdout.rstrip("\n")


def test_the_value_of_a_single_cluster_has_no_interval_wherever_it_stands(place: Path) -> None:
    result = call("./tiny", "-b", "trial-length", "--set", "trial-length.items=2", *_fast())
    assert result.exit_code == 0, result.stderr
    (folder,) = Path("runs").iterdir()
    (entry,) = raw_run(folder)["benchmarks"]
    after = entry["metrics"][0]["after"]
    assert entry["n_clusters"] == 1 and after["value"] is not None and (after["low"], after["high"]) == (None, None)
    row = next(line for line in result.stdout.splitlines() if line.strip().startswith("surprise"))
    assert row.split()[3:] == ["none", "lower", "is", "better"]
    assert "    Too few items for an interval worth reading." in result.stdout
    assert '<span class="interval">none</span>' in (folder / "report.html").read_text()


def test_flags_exclusions_and_what_a_good_value_is_are_printed(place: Path) -> None:
    found = evenhand.evaluate("./tiny", ["trial-length"], overrides=FAST)
    raw = raw_run(found.folder)
    raw["benchmarks"][0].update(unscored=3, flags={"tie": 1204, "in_lexicon": 2}, good="0, from either side.")
    second = {**raw["benchmarks"][0]["metrics"][0], "name": "beneath", "primary": False, "unit": "%"}
    second["after"] = {"value": None, "low": None, "high": None}
    raw["benchmarks"][0]["metrics"].insert(0, second)
    (found.folder / "run.json").write_text(json.dumps(raw))
    text = str(found)
    assert "counted: 3 without a value, 1,204 tie and 2 in lexicon" in text
    assert "a good value: 0, from either side." in text
    lines = text.splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("    surprise"))
    assert lines[first + 1].split() == ["beneath", "\u2013", "%", "none", "lower", "is", "better"]
    page = CliRunner().invoke(toolkit, ["report", str(found.folder)])
    assert page.stdout == f"{found.folder / 'report.html'}\n"  # and no model card: there is no model
    assert "Counted: 3 without a value, 1,204 tie and 2 in lexicon." in found.report.read_text()


@pytest.mark.parametrize("width", [50, 70])
def test_in_a_narrow_terminal_the_metrics_are_lines_and_no_word_is_broken(place: Path, width: int) -> None:
    found = evenhand.evaluate("./tiny", ["trial-length"], overrides=FAST)
    raw = raw_run(found.folder)
    metric = raw["benchmarks"][0]["metrics"][0]
    metric["after"] = {"value": -1.25e9, "low": -2.5e9, "high": -1e9}
    second = {**metric, "name": "counterfactual sentiment by socioeconomic group", "primary": False, "unit": ""}
    raw["benchmarks"][0]["metrics"].append(second)
    (found.folder / "run.json").write_text(json.dumps(raw))
    text = _printed(found.folder, width)
    assert max(map(len, text.splitlines())) <= width
    interval = "[\u22122.500e9, \u22121.000e9]"
    assert (
        f"surprise (lower is better) \u22121.250e9 nat, 95 % interval {interval} "
        f"counterfactual sentiment by socioeconomic group (lower is better) \u22121.250e9, 95 % interval {interval} "
        "counted: "
    ) in " ".join(text.split())
    assert "    metric " in _printed(found.folder, 80), "from 80 columns on it is a table"


def _printed(folder: Path, width: int) -> str:
    out = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    print_evaluation(folder, console=out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_quiet_prints_the_folder_alone(place: Path) -> None:
    result = call("./tiny", "-b", "trial-length", "--quiet", "--output", "there", *_fast())
    (folder,) = Path("there").iterdir()
    assert (result.stdout, result.stderr) == (f"{folder}\n", "")


def test_one_benchmark_twice_with_other_options(place: Path) -> None:
    found = evenhand.evaluate(
        "./tiny", ["trial-length", ("trial-length", {"items": 20})], overrides=(*FAST, "trial-length.items=30")
    )
    assert [(b["id"], b["n_items"]) for b in found.benchmarks] == [("trial-length", 30), ("trial-length-2", 20)]


def test_the_limit_goes_to_each_benchmark_that_has_one(place: Path) -> None:
    found = evenhand.evaluate(
        "./tiny", ["pair-gap", "trial-length", ("pair-gap", {"limit": 14})], limit=12, overrides=FAST
    )
    assert [b["n_items"] for b in found.benchmarks] == [12, 40, 14]
    with pytest.raises(RecipeError) as caught:
        evenhand.evaluate("./tiny", ["trial-length"], limit=12)
    assert str(caught.value) == (
        "evaluation: 1 problem\n  - --limit: no benchmark named here has an option limit (trial-length)"
    )


# -------------------------------------------------------------------------------------------- nothing is done twice
def test_what_a_run_has_measured_is_not_measured_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = '[model]\nname = "./tiny"\n[traffic]\nlimit = 0\n[evaluation]\nresamples = 200\n'
    run = api.run(recipe + '[[benchmarks]]\nuse = "trial-length"\n')
    asked = scored(monkeypatch)
    found = evenhand.evaluate("./tiny", ["trial-length"], overrides=FAST)
    assert asked == []
    assert found.record["events"] == [{"stage": "measuring", "text": "trial-length: taken from an earlier measurement"}]
    assert found.records("trial-length") == read_records(run.folder / "items" / "trial-length.parquet")["before"]
    evenhand.evaluate("./tiny", ["trial-length"], overrides=FAST, seed=1)
    assert asked == [40]  # another seed is another measurement


def test_a_run_does_not_measure_what_an_evaluation_has(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evenhand.evaluate("./tiny", ["trial-length"], overrides=FAST)
    asked = scored(monkeypatch)
    recipe = '[model]\nname = "./tiny"\n[traffic]\nlimit = 0\n[evaluation]\nresamples = 200\n'
    api.run(recipe + '[[benchmarks]]\nuse = "trial-length"\n')
    assert asked == []  # not the baseline, and without a step not the result


# ------------------------------------------------------------------------------------------------- finished models
STEPS = """
[[steps]]
use = "trial-scale"
folds = {folds}
[[steps]]
use = "trial-flat"
[[steps]]
use = "counterfactual-averaging"
strength = {strength}
[[benchmarks]]
use = "trial-length"
"""


def finished(place: Path, body: str) -> Any:
    head = '[model]\nname = "./tiny"\n[traffic]\nlimit = 0\n[evaluation]\nresamples = 200\ncontrols = "none"\n'
    return api.run(head + body)


@pytest.mark.parametrize("part", ["", "model"], ids=["the run folder", "its model folder"])
def test_the_result_of_a_run_is_measured_with_its_steps_and_rules(place: Path, part: str) -> None:
    run = finished(place, STEPS.format(folds="false", strength=0.5))
    found = evenhand.evaluate(run.folder / part, ["trial-length", ("pair-gap", {"limit": 10})], overrides=FAST)
    after = read_records(run.folder / "items" / "trial-length.parquet")["after"]
    again = found.records("trial-length")
    assert [r.id for r in again] == [r.id for r in after]
    assert [r.values["nll"] for r in again] == pytest.approx([r.values["nll"] for r in after], abs=1e-3)
    model = found.record["model"]
    assert model["display_name"] == f"tiny, as {run.folder.name} left it"
    assert model["rules"] == ["flat", "counterfactual averaging"] or len(model["rules"]) == 2
    assert "decoding rules in force: " in str(found)
    # Items with the words that its steps work with are known here, too.
    flags = {b["id"]: b["flags"] for b in found.benchmarks}
    assert flags["pair-gap"]["in_lexicon"] == 10
    entry = next(b for b in found.record["contamination"]["benchmarks"] if b["id"] == "pair-gap")
    assert (entry["lexicon"]["items"], entry["exact"]["items"]) == (10, 0)


def test_a_result_in_plain_weights_is_kept_in_the_cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(place, '[[steps]]\nuse = "trial-scale"\n[[benchmarks]]\nuse = "trial-length"\n')
    evenhand.evaluate(run.folder, ["trial-length"], overrides=FAST)
    asked = scored(monkeypatch)
    evenhand.evaluate(run.folder, ["trial-length"], overrides=FAST)
    # As a shell completes the name of a folder, and as a script writes it.
    for name in (f"{run.folder}/", f"./{run.folder}", str(run.folder.absolute())):
        evenhand.evaluate(name, ["trial-length"], overrides=FAST)
    assert asked == []


def test_a_result_with_live_steps_is_measured_each_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step does lies in the plugin's code, which no digest of the model knows."""
    run = finished(place, STEPS.format(folds="false", strength=0.0))
    evenhand.evaluate(run.folder, ["trial-length"], overrides=FAST)
    asked = scored(monkeypatch)
    evenhand.evaluate(run.folder, ["trial-length"], overrides=FAST)
    assert asked == [40]


# -------------------------------------------------------------------------------------------------- what is refused
def test_every_problem_of_the_call_comes_at_once(place: Path) -> None:
    result = call(
        "./tiny", "-b", "trial-lenght", "-b", "trial-flat", "-b", "trial-length", "--dtype", "half", "--seed", "-1",
        "--set", "trial-length.items=no", "--set", "trial-length.itms=1", "--set", "length.items=1",
        "--set", "trial-length", "--set", "training.max_steps=1",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (2, "")
    ids = "(ids: trial-lenght, trial-flat, trial-length)"
    assert [line for line in result.stderr.splitlines() if not line.startswith("      Installed: ")] == [
        "evaluation: 9 problems",
        f"  - --set length.items=1: no id 'length' among the benchmarks; did you mean 'trial-length'? {ids}",
        "  - --set trial-length: write key=value, such as crows-pairs.limit=100",
        f"  - --set training.max_steps=1: no id 'training' among the benchmarks {ids}",
        "  - model.dtype: 'half' is not 'auto', 'float32' or 'bfloat16'",
        "  - run.seed: -1 is not at least 0",
        "  - trial-lenght: no plugin is called 'trial-lenght'; did you mean 'trial-length'?",
        "  - trial-flat: 'trial-flat' is no benchmark",
        "  - trial-length.items: 'no' is not a whole number",
        "  - trial-length.itms: unknown option; did you mean 'items'? (known: items)",
    ]
    assert not Path("runs").exists()


def test_no_benchmark_is_named(place: Path) -> None:
    result = call("./tiny")
    head, known, do = result.stderr.splitlines()
    assert (head, do) == ("evaluation: no benchmark is named", "  name at least one: --benchmark NAME")
    assert {"crows-pairs", "pair-gap", "perplexity", "trial-length"} <= set(known.split(": ")[1].split(", "))
    assert "pair-parity" not in known
    assert result.exit_code == 2
    for given in ([], "crows-pairs"):
        with pytest.raises(UsageError, match="no benchmark is named"):
            evenhand.evaluate("./tiny", given)
    with pytest.raises(UsageError, match="3 is no benchmark"):
        evenhand.evaluate("./tiny", [3])  # type: ignore[list-item]


@pytest.mark.parametrize("named", ["--data=mirrors", "--set=crows-pairs.data=mirrors"])
def test_a_data_folder_that_is_not_there_is_told_whatever_the_environment_names(
    named: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENHAND_DATA", str(place / "elsewhere"))
    file = place / "elsewhere" / "crows_pairs" / "crows_pairs_anonymized.csv"
    file.parent.mkdir(parents=True)
    file.write_text("what an evaluation would read without the option")
    result = call("./tiny", "-b", "crows-pairs", named, "--quiet")
    assert result.stderr == (
        "crows-pairs: the benchmark file crows_pairs/crows_pairs_anonymized.csv was not found\n"
        "  tried, in order:\n"
        "    option: there is no folder mirrors\n"
        "    $EVENHAND_DATA: not asked, because the option names a place\n"
        "  get it from github.com/nyu-mll/crows-pairs, data/crows_pairs_anonymized.csv (CC-BY-SA-4.0) and put it "
        "there, or leave the option out, so that EVENHAND_DATA is asked\n"
    )
    assert result.exit_code == 5
    assert not Path("runs").exists()


@pytest.mark.parametrize("model", ["a-name-of-the-server", "./tiny"])
def test_a_model_behind_an_endpoint_is_not_measured(model: str, place: Path) -> None:
    result = call(model, "-b", "trial-length", "--set", "model.endpoint=http://localhost:1/v1")
    assert result.stderr == (
        "model.endpoint: an evaluation measures weights and probabilities, which an endpoint does not give\n"
        "  name a model that is loaded here; evenhand.connect(RECIPE) answers requests of a served one under the rules "
        "of a recipe\n"
    )
    assert result.exit_code == 2
    assert not Path("runs").exists()


class MaskedOnly(Plugin):
    """Not a word of it matters."""

    name = "trial-length"
    summary = "Masked."
    kinds: ClassVar[tuple[str, ...]] = ("masked",)

    @hookimpl
    def evaluation(self, run: Any) -> Benchmark:
        raise AssertionError("it must not be asked")


def test_a_masked_only_benchmark_on_a_causal_model(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evenhand_trial

    monkeypatch.setattr(evenhand_trial, "Length", MaskedOnly)
    result = call("./tiny", "-b", "trial-length", "--quiet")
    assert result.stderr == (
        "model: tiny is a causal language model: benchmark 'trial-length' needs a masked model\n"
        "  take another model, or leave the benchmark out\n"
    )
    assert result.exit_code == 2
    assert not Path("runs").exists()  # told before anything is loaded


def test_an_altered_data_file_is_told_before_the_model_is_loaded(place: Path) -> None:
    (place / "mirrors").mkdir()
    (place / "mirrors" / "crows_pairs_anonymized.csv").write_text("sent_more,sent_less\n")
    result = call("./tiny", "-b", "crows-pairs", "--data", "mirrors", "--quiet")
    assert "crows_pairs_anonymized.csv is not the published file" in result.stderr
    assert result.exit_code == DigestMismatch.exit_code and not Path("runs").exists()


def test_two_models_of_different_kinds_are_told_before_one_is_measured(place: Path) -> None:
    found = CliRunner().invoke(toolkit, ["compare", "./tiny", "./masked", "--benchmark", "trial-length"])
    assert found.exit_code == 2 and not Path("runs").exists()
    assert found.stderr == (
        "compare: ./tiny is a causal language model and ./masked is a masked language model\n"
        "  name two models of one kind: the scores of a causal and of a masked one mean different things\n"
    )


def test_folders_that_hold_no_model(place: Path) -> None:
    (place / "empty").mkdir()
    result = call("./empty", "-b", "trial-length")
    assert result.exit_code == 5
    assert "folder: empty has no config.json" in result.stderr
    assert not Path("runs").exists()
    evaluation = evenhand.evaluate("./tiny", ["trial-length"], overrides=FAST)
    result = call(str(evaluation.folder), "-b", "trial-length")
    assert result.stderr == (
        f"{evaluation.folder}: this is an evaluation, so it holds no model\n"
        "  name a model, or the folder of a complete run\n"
    )
    assert result.exit_code == 2
    with pytest.raises(NoEffect):
        finished(place, '[[steps]]\nuse = "trial-idle"\n[[steps]]\nuse = "train"\n[data]\ntrain = "train.txt"\n')
    (failed,) = (p for p in Path("runs").iterdir() if not p.name.startswith("eval-"))
    with pytest.raises(RunNotFound, match=r"this run is not complete \(failed\), so it holds no model"):
        evenhand.evaluate(failed, ["trial-length"])


def test_a_damaged_run_folder(place: Path) -> None:
    run = finished(place, '[[steps]]\nuse = "trial-scale"\n[[benchmarks]]\nuse = "trial-length"\n')
    (run.folder / "model" / "evenhand.json").write_text("{")
    result = call(str(run.folder), "-b", "trial-length", "--quiet")
    assert result.stderr.startswith(f"{run.folder / 'model'}: evenhand.json is damaged: Expecting property name")
    assert result.exit_code == 2


def test_steps_that_are_not_installed_any_more_are_told(place: Path) -> None:
    run = finished(place, '[[steps]]\nuse = "trial-scale"\n[[benchmarks]]\nuse = "trial-length"\n')
    raw = raw_run(run.folder)
    raw["steps"][0]["use"] = "gone-away"
    (run.folder / "run.json").write_text(json.dumps(raw))
    found = evenhand.evaluate(run.folder, ["trial-length"], overrides=FAST)
    assert found.record["events"][0]["text"].startswith(
        "words of one of its steps are not known: steps[1].use: no plugin is called 'gone-away'"
    )
    (run.folder / "run.json").unlink()
    found = evenhand.evaluate(run.folder, ["trial-length"], overrides=FAST)
    assert found.record["events"][0]["text"] == (
        "there is no run.json beside the model: words of its steps are not known"
    )


def test_a_failed_evaluation_says_so_wherever_it_is_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evenhand_trial

    class Broken(MaskedOnly):
        kinds: ClassVar[tuple[str, ...]] = ("causal",)

    monkeypatch.setattr(evenhand_trial, "Length", Broken)
    with pytest.raises(PluginFault, match="AssertionError: it must not be asked"):
        evenhand.evaluate("./tiny", ["trial-quality", "trial-length"], overrides=FAST)
    (folder,) = Path("runs").iterdir()
    assert "- The evaluation failed before its end: PluginFault: " in str(evenhand.evaluating.Evaluation(folder, {}))
    assert "This evaluation failed before its end." in render_report(read_run(folder))


# --------------------------------------------------------------------------------------------------- comparisons
def evaluated(place: Path, model: str, *benchmarks: Any, **how: Any) -> Any:
    return evenhand.evaluate(f"./{model}", list(benchmarks), overrides=FAST, **how)


def change_of(entry: Any, name: str) -> Any:
    return next(m for m in entry.metrics if m.name == name)


def test_two_evaluations_are_compared_item_by_item(place: Path) -> None:
    save_tiny(place / "other", seed=7)
    a, b = (evaluated(place, model, "trial-length", "trial-quality") for model in ("tiny", "other"))
    result = evenhand.compare(a, b)
    by_item = [
        y.values["nll"] - x.values["nll"]
        for x, y in zip(a.records("trial-length"), b.records("trial-length"), strict=True)
    ]
    metric = result.benchmarks[0].metrics[0]
    assert metric.change.value == pytest.approx(sum(by_item) / 40)
    assert metric.before.value == a.benchmarks[0]["metrics"][0]["after"]["value"]
    # The paired interval is narrower than those of the two models would suggest.
    alone = [m["high"] - m["low"] for m in (s.benchmarks[0]["metrics"][0]["after"] for s in (a, b))]
    assert metric.change.high - metric.change.low < sum(alone)
    verdict = "worse" if metric.change.low > 0 else "improved" if metric.change.high < 0 else "no demonstrated effect"
    assert result.benchmarks[0].verdict == verdict
    lines = str(result).splitlines()
    assert lines[0] == "Two models, paired item by item"
    assert lines[1] == f"  A  {a.folder} (tiny, as it is)"
    assert lines[3] == f"  scored by: {a.benchmarks[0]['scoring']}"
    assert str(a).count(f"  scored by: {a.benchmarks[0]['scoring']}\n") == 1
    assert result.notes == []
    same = CliRunner().invoke(toolkit, ["compare", str(a.folder), str(b.folder)])
    assert (same.exit_code, same.stdout) == (0, str(result) + "\n")


def test_two_models_are_measured_and_compared_by_one_command(place: Path) -> None:
    save_tiny(place / "other", seed=7)
    fast = [part for setting in FAST for part in ("--set", setting)]
    asked = ["./tiny", "./other", "--benchmark", "trial-length", "--seed", "3", "--output", "measured", *fast]
    found = CliRunner().invoke(toolkit, ["compare", *asked])
    assert found.exit_code == 0, found.output
    a, b = sorted((place / "measured").iterdir(), key=lambda folder: "other" in folder.name)
    assert found.stdout.endswith(str(evenhand.compare(a.relative_to(place), b.relative_to(place))) + "\n")
    apart = [evaluated(place, model, "trial-length", seed=3) for model in ("tiny", "other")]
    assert [read_run(folder).seed for folder in (a, b)] == [3, 3]
    same = evenhand.compare(*(e.folder for e in apart))
    assert evenhand.compare(a, b).benchmarks == same.benchmarks


def test_a_second_model_that_is_not_there_is_told_before_the_first_is_measured(place: Path) -> None:
    found = CliRunner().invoke(toolkit, ["compare", "./tiny", "./nowhere", "--benchmark", "trial-length"])
    assert (found.exit_code, found.stdout) == (ModelNotFound.exit_code, "")
    assert "./nowhere" in found.stderr and not (place / "runs").exists()


def test_models_without_a_benchmark_are_told_what_is_missing(place: Path) -> None:
    plain = CliRunner().invoke(toolkit, ["compare", "./tiny", "./other"])
    assert plain.exit_code == RunNotFound.exit_code
    assert plain.stderr.strip().endswith("or, to measure two models and compare them, add --benchmark NAME")
    for option, value in (("--limit", "3"), ("--set", "trial-length.folds=2")):
        found = CliRunner().invoke(toolkit, ["compare", "./tiny", "./other", option, value])
        assert found.exit_code == 2
        assert f"compare: {option} says how a model is measured, and nothing is measured" in found.stderr
        assert "name what to measure both models by: --benchmark NAME" in found.stderr


def test_a_run_and_the_evaluation_of_its_base_are_compared(place: Path) -> None:
    run = finished(place, STEPS.format(folds="true", strength=0.5))
    base = evaluated(place, "tiny", "trial-length")
    result = evenhand.compare(base.folder, run.folder)
    expected = run.benchmarks[0]["metrics"][0]["change"]
    assert result.benchmarks[0].metrics[0].change.value == pytest.approx(expected["value"])
    assert f"  B  {run.folder} (tiny, after trial-scale, trial-flat and counterfactual-averaging)" in str(result)
    assert [n for n in result.notes if n.startswith("scoring differs: ")]


def test_a_model_in_two_number_formats_is_not_better_or_worse_than_itself(place: Path) -> None:
    a, b = (evaluated(place, "tiny", "trial-length", dtype=dtype) for dtype in ("bfloat16", "float32"))
    result = evenhand.compare(a, b)
    assert result.benchmarks[0].metrics[0].change.value != 0
    assert result.benchmarks[0].verdict == "number formats differ"
    assert any("measure both with `--dtype float32`" in note for note in result.notes)


def split_otherwise(place: Path) -> None:
    """The same tiny model with a tokenizer of another fingerprint."""
    import shutil

    shutil.copytree(place / "tiny", place / "split")
    path = place / "split" / "tokenizer.json"
    facts = json.loads(path.read_text())
    facts["normalizer"] = {"type": "Lowercase"}
    path.write_text(json.dumps(facts))


def test_across_tokenizers_numbers_per_token_are_left_out(place: Path) -> None:
    split_otherwise(place)
    text = place / "passages.txt"
    text.write_text("\n\n".join(f"The nurse saw {k} children in the town." for k in range(30)))
    asked = [("perplexity", {"text": str(text)}), ("pair-gap", {"limit": 40})]
    a, b = (evaluated(place, model, *asked) for model in ("tiny", "split"))
    assert a.record["model"]["tokenizer_fingerprint"] != b.record["model"]["tokenizer_fingerprint"]
    result = evenhand.compare(a, b)
    assert [x.id for x in result.benchmarks] == ["perplexity"]
    assert [m.name for m in result.benchmarks[0].metrics] == ["word perplexity", "bits per byte"]
    assert result.notes[0] == (
        "the tokenizers differ: what is left also depends on how each model splits a text; left out, because per "
        "token: pair-gap: JS gap, JS gap, not folded, likelihood gap and likelihood difference"
    )
    with pytest.raises(UsageError) as caught:
        evenhand.compare(*(evaluated(place, model, asked[1]) for model in ("tiny", "split")))
    assert str(caught.value) == (
        "A tiny, B split: these models cannot be compared by these benchmarks\n"
        "  their tokenizers differ, and every metric is per token: pair-gap: JS gap, JS gap, not folded, "
        "likelihood gap and likelihood difference\n"
        "  measure both by a benchmark with numbers per word, per item or of whole texts"
    )


def test_without_its_decisive_metric_a_benchmark_has_no_verdict(place: Path) -> None:
    split_otherwise(place)
    a, b = (evaluated(place, model, "trial-length", "trial-quality") for model in ("tiny", "split"))
    for found in (a, b):
        raw = raw_run(found.folder)
        first = raw["benchmarks"][0]["metrics"][0]
        first["definition"].pop("per_token")
        first["unit"] = "nat per token"  # as records of older versions say it
        second = {**first, "name": "per text", "unit": "nat", "primary": False}
        raw["benchmarks"][0]["metrics"].append(second)
        (found.folder / "run.json").write_text(json.dumps(raw))
    result = evenhand.compare(a.folder, b.folder)
    entry = result.benchmarks[0]
    assert ([m.name for m in entry.metrics], entry.verdict) == (["per text"], "not comparable")
    assert entry.verdict_text == (
        "There is no verdict: the metric that it would rest on is per token, and the tokenizers differ."
    )
    row = next(line for line in str(result).splitlines() if line.strip().startswith("Surprise: per text, nat"))
    assert row.endswith("not comparable")


def test_other_items_options_or_data_are_refused(place: Path) -> None:
    a, b = evaluated(place, "tiny", "trial-length"), evaluated(place, "tiny", ("trial-length", {"items": 30}))
    with pytest.raises(UsageError, match="trial-length: the runs scored different items"):
        evenhand.compare(a, b)
    a, b = evaluated(place, "tiny", ("pair-gap", {"limit": 10})), evaluated(place, "tiny", ("pair-gap", {"limit": 12}))
    with pytest.raises(UsageError) as caught:
        evenhand.compare(a, b)
    assert str(caught.value) == (
        f"A {a.folder}, B {b.folder}: these measurements cannot be compared\n"
        "  pair-gap: option limit: 10 in A, 12 in B\n"
        "  measure both models by the same benchmark options and data"
    )
    with pytest.raises(UsageError, match="these measurements have no benchmark in common"):
        evenhand.compare(a, evaluated(place, "tiny", "trial-length"))


def test_a_folder_that_holds_nothing_to_compare(place: Path) -> None:
    (place / "empty").mkdir()
    result = CliRunner().invoke(toolkit, ["compare", "empty", "nowhere"])
    assert result.stderr == (
        "empty: not a run folder\n  the folder exists but has no run.json\n"
        "  name the folder that `toolkit run` or `toolkit eval` printed; it holds run.json and report.html\n"
        "  or, to measure two models and compare them, add --benchmark NAME\n"
    )
    assert result.exit_code == 2


def _fast() -> list[str]:
    return ["--set", "evaluation.resamples=200"]


@pytest.mark.parametrize(
    ("benchmarks", "code"),
    [
        (["no-such-benchmark"], 3),
        (["no-such-benchmark", "nor-this"], 3),
        (["no-such-benchmark", ("trial-length", {"itmes": 3})], 2),
        (["crows-pairs"], 5),
    ],
)
def test_problems_of_one_kind_end_with_its_exit_code(place: Path, benchmarks: list[Any], code: int) -> None:
    with pytest.raises(EvenhandError) as caught:
        evenhand.evaluate("./tiny", benchmarks)
    assert caught.value.exit_code == code

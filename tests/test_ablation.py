"""`toolkit ablate`: each step alone, each left out, all together, and a ledger of who earned what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock, Timeout

from evenhand.ablation import TRAINING, Ablation, Configuration, _shared, ablate, configurations, parts_of
from evenhand.ablation_front import front_of
from evenhand.ablation_ledger import (
    ALONE,
    EARNS,
    HARMS,
    NONE,
    SPARE,
    TOGETHER,
    Ledger,
    Share,
    _Gain,
    ledger_of,
    said_of,
)
from evenhand.ablation_report import _answer, ablation_page
from evenhand.cli import toolkit
from evenhand.configurations import failure_since
from evenhand.contributions import Metric
from evenhand.discovery import discover
from evenhand.errors import RecipeError
from evenhand.recipe import load_recipe, resolve_steps
from evenhand.report_reading import parse_run
from evenhand.report_record import RunRecord
from evenhand.report_results import Interval
from evenhand.run_folders import run_folder
from evenhand.workers import share_threads, work_together
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("trial", "own_cache")

TRIAL = Path(__file__).parent / "trial_site"
STEP = '[[steps]]\nuse = "{}"\n'
PARTS = ("trial-double", "trial-pull", "trial-scale", "trial-flat")
BENCHMARKS = '[[benchmarks]]\nuse = "trial-length"\n[[benchmarks]]\nuse = "trial-quality"\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_tiny(tmp_path / "tiny")
    (tmp_path / "train.txt").write_text("The nurse said that she was tired.\nRain fell on the town all day.\n" * 6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(place: Path, *steps: str, training: str = "max_steps = 3", run: str = "") -> Path:
    path = place / "parted.toml"
    path.write_text(
        f'[model]\nname = "tiny"\n[data]\ntrain = "train.txt"\n[training]\n{training}\nlearning_rate = 1e-3\n'
        f"[evaluation]\nresamples = 200\n{run}" + "".join(STEP.format(s) for s in steps) + BENCHMARKS
    )
    return path


def planned(place: Path, *steps: str) -> dict[str, set[str]]:
    found = resolve_steps(load_recipe(written(place, *steps), catalogue=discover()), discover())
    chosen = [s for s in found if s.section == "steps"]
    return {c.name: set(c.parts) for c in configurations(parts_of(chosen), chosen)}


def taken_apart(path: Path, folder: str = "apart") -> Ablation:
    return ablate(load_recipe(path, catalogue=discover()), Path(folder))


# ------------------------------------------------------------------------------------------------- configurations
def test_every_part_is_alone_once_and_left_out_once(place: Path) -> None:
    assert planned(place, "trial-pull", "trial-scale", "trial-flat") == {
        "all": {"trial-pull", "trial-scale", "trial-flat", TRAINING},
        "only trial-pull": {"trial-pull", TRAINING},
        "only trial-scale": {"trial-scale"},
        "only trial-flat": {"trial-flat"},
        f"only {TRAINING}": {TRAINING},
        "without trial-pull": {"trial-scale", "trial-flat", TRAINING},
        "without trial-scale": {"trial-pull", "trial-flat", TRAINING},
        "without trial-flat": {"trial-pull", "trial-scale", TRAINING},
    }, "trial-pull acts through the training, which cannot be left out alone"


def test_what_is_the_same_is_run_once(place: Path) -> None:
    assert planned(place, "trial-scale", "trial-flat") == {
        "all": {"trial-scale", "trial-flat"},
        "only trial-scale, without trial-flat": {"trial-scale"},
        "only trial-flat, without trial-scale": {"trial-flat"},
    }
    assert planned(place, "trial-pull", "trial-watch", "trial-size") == {
        "all, only trial-pull": {"trial-pull", TRAINING},
        f"only {TRAINING}, without trial-pull": {TRAINING},
    }, "what only watches is no part"
    assert planned(place, "train", "trial-scale") == {
        "all": {"trial-scale", TRAINING},
        "only trial-scale, without the training": {"trial-scale"},
        "only the training, without trial-scale": {TRAINING},
    }


def test_one_part_is_refused(place: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        taken_apart(written(place, "trial-scale", "trial-watch"))
    assert raised.value.problems == [
        "steps: an ablation needs two parts that change something; it has only 'trial-scale'"
    ]


# --------------------------------------------------------------------------------------------------------- ledger
def gain(value: float, *draws: float) -> _Gain:
    return _Gain(value, np.array(draws or [value] * 41, dtype=float))


METRIC = Metric(name="gap", value="x", better="lower")


def test_the_ledger_adds_up_by_hand() -> None:
    a, b, t = frozenset("a"), frozenset("b"), frozenset([TRAINING])
    gains = {a | t: gain(5.0), b: gain(3.0), t: gain(1.0), a | b | t: gain(6.0), b | t: gain(3.5)}
    found = ledger_of(
        gains, ["a", "b", TRAINING], {"a": a | t, "b": b, TRAINING: t},
        metric=METRIC, confidence=0.95, name="x", label="X", quality=False, items=9, decided_by="all items",
    )  # fmt: skip
    values = {s.part: (s.alone, s.added, s.others) for s in found.shares}
    shown = {p: tuple(None if i is None else i.value for i in x) for p, x in values.items()}
    assert shown == {
        "a": (4.0, 2.5, -1.5),  # 5 - 1; 6 - 3.5
        "b": (3.0, 1.0, -2.0),  # 6 - 5
        TRAINING: (1.0, None, None),
    }
    assert (found.total.value, found.sum and found.sum.value) == (6.0, 8.0)
    assert found.interaction is not None and found.interaction.value == -2.0
    assert [s.said for s in found.shares] == [EARNS, EARNS, ALONE]


def test_draws_are_paired() -> None:
    """Gains that swing together leave no doubt about their difference."""
    swing = np.linspace(-9, 9, 41)
    a, b = frozenset("a"), frozenset("b")
    gains = {a: _Gain(0.0, swing), b: gain(1.0), a | b: _Gain(3.0, swing + 3)}
    found = ledger_of(
        gains, ["a", "b"], {"a": a, "b": b},
        metric=METRIC, confidence=0.95, name="x", label="X", quality=False, items=9, decided_by="all items",
    )  # fmt: skip
    added = found.shares[1].added
    assert added is not None and (added.value, added.low, added.high) == (3.0, 3.0, 3.0)
    alone = found.shares[0].alone
    assert alone is not None and (alone.low or 0) < -8 and (alone.high or 0) > 8


@pytest.mark.parametrize(
    "alone, added, said",
    [
        ((1, 2), (1, 2), EARNS),
        ((-1, 2), (1, 2), TOGETHER),
        (None, (1, 2), EARNS),
        ((1, 2), (-1, 2), SPARE),
        ((1, 2), (-2, -1), HARMS),
        ((-2, -1), (-1, 1), NONE),
        ((-1, 1), (-1, 1), NONE),
        ((1, 2), None, ALONE),
        (None, None, NONE),
    ],
)
def test_what_two_intervals_say(
    alone: tuple[float, float] | None, added: tuple[float, float] | None, said: str
) -> None:
    both = [None if x is None else Interval(value=sum(x) / 2, low=x[0], high=x[1]) for x in (alone, added)]
    assert said_of(Share(part="p", alone=both[0], added=both[1], others=None, said="")) == said


# ------------------------------------------------------------------------------------------------------------ runs
def test_an_ablation_runs_the_configurations_and_its_gains_are_those_of_the_runs(place: Path) -> None:
    path = written(place, "trial-pull", "trial-scale")
    found = taken_apart(path)
    names = {c.name for c in found.configurations}
    assert names == {
        "all", "only trial-pull, without trial-scale", "only trial-scale", "only the training",
        "without trial-pull",
    }  # fmt: skip
    assert not list(Path("apart").glob("runs/*/*/model"))
    values = {}
    for one in found.configurations:
        assert one.record is not None
        steps = {s.id: s.active for s in one.record.steps}
        assert {p for p in found.parts if p != TRAINING and steps[p]} == one.parts - {TRAINING}
        assert bool(one.record.training) == (TRAINING in one.parts)
        metric = one.record.benchmarks[0].primary
        assert metric is not None and metric.change.value is not None
        values[one.parts] = -metric.change.value  # a surprise: lower is better
    assert [c.record.baseline.reused for c in found.configurations if c.record][1] == ["trial-length", "trial-quality"]
    ledger = found.ledgers[0]
    assert {k: g.value for k, g in ledger.gains.items()} == pytest.approx(values)
    t = frozenset([TRAINING])
    pull, scale = frozenset(["trial-pull"]) | t, frozenset(["trial-scale"])
    everything = pull | scale
    single = values[pull] - values[t] + values[scale] + values[t]
    assert ledger.interaction is not None
    assert ledger.interaction.value == pytest.approx(values[everything] - single)
    stamps = {p: p.stat().st_mtime_ns for p in Path("apart").glob("runs/*/*/run.json")}
    assert len(stamps) == 5
    again = taken_apart(path)
    assert again.ledgers == found.ledgers and all(p.stat().st_mtime_ns == t for p, t in stamps.items())


def test_seeds_are_drawn_above_items_where_something_is_trained(place: Path) -> None:
    path = written(place, "trial-pull", "trial-scale", run="[run]\nseeds = 2\n")
    found = taken_apart(path)
    seeds = {c.name: len(c.record.seeds) for c in found.configurations if c.record}
    assert seeds["all"] == 2 and seeds["only trial-scale"] == 0
    gains = found.ledgers[0].gains
    whole = found.of(*found.parts)
    assert whole.record is not None
    metric = whole.record.benchmarks[0].primary
    assert metric is not None
    assert gains[whole.parts].value == pytest.approx(-(metric.change.value or 0))


def test_a_part_that_cannot_stand_alone_is_recorded_with_its_reason(place: Path) -> None:
    """What selects parameters without saying so gets no training when it is alone."""
    path = written(place, "trial-norms", "trial-pull", "trial-unmarked", "train")
    found = taken_apart(path)
    failed = {c.name: c.reason for c in found.configurations if c.record is None}
    assert list(failed) == ["only trial-unmarked"]
    assert "no training follows it" in failed["only trial-unmarked"]
    ledger = found.ledgers[0]
    assert ledger.interaction is None and ledger.shares[2].alone is None and ledger.shares[2].added is not None
    page = ablation_page(found)
    assert any("Could not be run: only trial-unmarked" in s for s in page.answer)


def test_a_defect_that_one_part_meets_is_its_reason(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenhand import ablation as module

    original, alone = module.ran, Path("apart/runs/only-trial-scale")

    def breaks(recipe: Any, parent: Path, **named: Any) -> Any:
        if parent == alone:
            raise RuntimeError("the size of tensor a must match")
        return original(recipe, parent, **named)

    monkeypatch.setattr(module, "ran", breaks)
    found = taken_apart(written(place, "trial-scale", "trial-norms", "train"))
    failed = {c.name: c.reason for c in found.configurations if c.record is None}
    assert failed == {"only trial-scale": "a defect in the toolkit (RuntimeError: the size of tensor a must match)"}


# --------------------------------------------------------------------------------------------------------- workers
def test_what_another_worker_has_comes_last(tmp_path: Path) -> None:
    planned = [Configuration(parts=frozenset(name), name=name) for name in "abc"]
    (elsewhere := FileLock(tmp_path / "a")).acquire()
    order = []
    for one in _shared(planned, tmp_path):
        order.append(one.name)
        with pytest.raises(Timeout):
            FileLock(tmp_path / one.name).acquire(timeout=0)
        if one.name == "c":
            elsewhere.release()
    assert order == ["b", "c", "a"]
    for name in "abc":
        FileLock(tmp_path / name).acquire(timeout=0)


def test_a_failure_is_told_by_one_worker_to_the_others(place: Path) -> None:
    """The newest run failed since this worker began: it is not tried again; an older failure is."""
    recipe = load_recipe(written(place, "trial-scale"), catalogue=discover())
    assert failure_since(recipe, Path("runs"), "2026-01-01T00:00:00+00:00") == "", "there is no run"
    folder = run_folder(recipe, "runs", resume=False)
    record = {"schema": 1, "status": "failed", "finished": "2026-01-01T10:00:00+00:00"}
    record["events"] = [{"stage": "end", "text": "NoEffect: step 'x': nothing changed\n  in step 'x'"}]
    (folder / "run.json").write_text(json.dumps(record))
    since = {at: failure_since(recipe, Path("runs"), f"2026-01-01T{at}+00:00") for at in ("10:00:00", "10:00:01")}
    assert since == {"10:00:00": "step 'x': nothing changed in step 'x'", "10:00:01": ""}
    (folder / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    assert failure_since(recipe, Path("runs"), "2026-01-01T10:00:00+00:00") == ""


@pytest.mark.slow
def test_two_workers_find_what_one_finds(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TRIAL))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = written(place, "trial-scale", "trial-flat")
    command = [sys.executable, "-m", "evenhand", "--quiet", "ablate", str(path), "--output", "two", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each of the two: the order of a sum depends on it
    try:
        one = taken_apart(path, "one")
    finally:
        torch.set_num_threads(threads)
    two = taken_apart(path, "two")
    assert two.ledgers == one.ledgers
    assert [c.name for c in two.configurations] == [c.name for c in one.configurations]
    assert len(list(Path("two/runs").glob("*/*/run.json"))) == 3, "none was run twice"
    said = [log.read_text() for log in sorted(Path("two/workers").iterdir())]
    assert len(said) == 2 and all("Ablation of parted" in text for text in said)


@pytest.mark.parametrize(
    ("count", "own", "threads"),
    [(2, "", "4"), (3, "", "2"), (16, "", "1"), (2, "1", "1"), (2, "8", "4"), (2, "x", "4")],
)
def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch, count: int, own: str, threads: str) -> None:
    monkeypatch.setattr("evenhand.workers.cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", own)
    share_threads(count)
    assert os.environ["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize("failing", [1, 2])
def test_one_that_meets_an_error_stops_the_others(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is not the first of them; the other one would sleep for a minute."""
    module = tmp_path / "evenhand_pretended.py"
    module.write_text(
        f"import os, sys, time\nif not os.readlink('/proc/self/fd/1').endswith('{failing}.log'):\n"
        "    time.sleep(60)\nsys.exit(5)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("evenhand.workers.PROGRAM", (sys.executable, str(module)))
    began = time.monotonic()
    work_together(2, [], tmp_path / "apart", total=3)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "A gain was demonstrated"),
        (-0.3, -0.1, "A loss was demonstrated"),
        (-0.1, 0.3, "No gain was demonstrated"),
        (0.0, 0.3, "No gain was demonstrated"),
        (None, None, "No gain was demonstrated"),
    ],
)
@pytest.mark.parametrize("decided_by", ["all items", "construction"])
def test_the_answer_says_in_words_whether_all_parts_together_gained(
    low: float | None, high: float | None, said: str, decided_by: str
) -> None:
    total = Interval(value=0.2, low=low, high=high)
    ledger = Ledger(
        benchmark="b", label="B", metric="m", unit="nat", quality=False, items=40, decided_by=decided_by, gains={},
        shares=[], total=total, sum=None, interaction=None,
    )  # fmt: skip
    found = SimpleNamespace(ledgers=[ledger], configurations=[], parts={"one": None})
    told = _answer(found, "b")  # type: ignore[arg-type]
    assert told[1].startswith(f"{said} on B: all together gain +0.20")
    assert ("by construction, not evidence" in " ".join(told)) == (decided_by == "construction")


def test_the_answer_names_what_the_whole_costs_and_which_trainings_were_taken_back() -> None:
    """A configuration without a gain because its training broke the budget says nothing about its part."""
    ratio = {"value": 1.005, "low": 1.001, "high": 1.009}
    quality = {"budget": 1.01, "metric": "perplexity", "ratio": ratio, "verdict": "within budget"}
    text = {
        "id": "p", "quality": True, "metrics": [{"name": "perplexity", "better": "lower", "primary": True}],
    }  # fmt: skip
    look = {"step": 10, "ratio": 1.3}
    watched = {"id": "train", "watch": {"budget": 1.01, "kept": 0, "looks": [look]}}
    whole = parse_run({"quality": quality, "benchmarks": [text]})
    undone = parse_run({"benchmarks": [text], "training": [watched]})
    parts = [("all", {"one", "two"}, whole), ("only one", {"one"}, undone), ("only two", {"two"}, whole)]
    configured = [Configuration(parts=frozenset(p), name=name, record=record) for name, p, record in parts]
    found: Any = SimpleNamespace(ledgers=[], configurations=configured, parts=["one", "two"])
    back = "Taken back, because no moment of the training kept the budget:"
    assert _answer(found, "b") == [
        "3 configurations of one and two.",
        "What all together cost: Perplexity, the measure of language quality, rose by 0.50 % (95 % interval +0.10 % to "
        "+0.90 %); the recipe allows +1.0 %: within budget.",
        f"{back} only one. This is the untouched model, without a gain by that.",
    ]
    configured[2] = replace(configured[2], record=undone)
    told = f"{back} only one and only two. These are the untouched model, without a gain by that."
    assert _answer(found, "b")[-1] == told


def measured(gap: float | None, perplexity: float, *, quality: bool = True) -> RunRecord:
    """A run on a model with a score of 45 (50 is ideal) and a perplexity of 20."""

    def benchmark(ident: str, before: float, after: float | None, **metric: object) -> dict[str, object]:
        sides = {"before": {"value": before}, "after": {"value": after}}
        return {
            "id": ident,
            "quality": ident == "words",
            "metrics": [{"name": "m", "primary": True, **sides, **metric}],
        }

    found = [benchmark("score", 45.0, gap, better="nearer", target=50.0)]
    found += [benchmark("words", 20.0, perplexity, better="lower", unit="ppl")] if quality else []
    return parse_run({"schema": 1, "benchmarks": found})


def test_the_front_of_an_ablation_holds_what_nothing_dominates() -> None:
    """From 50 the score is 5 away before; 2, 3, 3 and 6 after, at a perplexity of 21, 19, 20 and 22."""
    runs = {
        "all": measured(52.0, 21.0),
        "only a": measured(47.0, 19.0),
        "only b, without a": measured(53.0, 20.0),  # as near as a alone, and worse in language
        "without c": measured(44.0, 22.0),
        "only c": measured(None, 20.0),  # not defined
    }
    made = [Configuration(parts=frozenset(name), name=name, record=run) for name, run in runs.items()]
    made.append(Configuration(parts=frozenset("x"), name="only x", reason="it failed"))
    whole = SimpleNamespace(parts=("a", "b"), configurations=made, of=lambda *_: made[0])
    (figure,) = front_of(whole)  # type: ignore[arg-type]
    assert {p.label: p.kind for p in figure.points} == {
        "all": "front", "only a": "front", "only b": "other", "without c": "other", "untouched": "untouched",
    }  # fmt: skip
    texts = [p.text for p in figure.points if p.label == "only a"]
    assert texts == ["only a: words: m, ppl (lower is better) 19, score: m (ideal 50) 47"]
    alone = SimpleNamespace(parts=("a",), of=lambda *_: SimpleNamespace(record=measured(52.0, 21.0, quality=False)))
    assert front_of(alone) == [], "no benchmark of language quality"  # type: ignore[arg-type]


def test_the_command_prints_the_ledger_and_writes_the_page(place: Path) -> None:
    path = written(place, "trial-scale", "trial-flat")
    shown = CliRunner().invoke(toolkit, ["ablate", str(path)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    told = " ".join(shown.output.split())
    assert "Surprise: surprise (nat), gains" in told and "all together" in told
    page = (place / "ablations/parted/report.html").read_text()
    assert page.count("<h2>") == 1 + 2 + 2 + 1 + 1 and "Who earned it: Surprise" in page
    assert "<script" not in page

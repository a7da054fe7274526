"""Many runs in one table: what is kept of a run, what is refused, and that every technique has its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_run_parts import interval, metric, step
from data_runs import write_run
from evenhand.collecting import collected, keep, kept
from evenhand.discovery import discover
from evenhand.errors import RecipeError, UsageError
from evenhand.evidence_glance import LEGEND
from evenhand.evidence_page import made_page, page
from evenhand.evidence_recipes import further_recipes
from evenhand.report_record import RunRecord
from evenhand.techniques import NotRun, Technique, read_not_run, techniques

ITEMS = b"the scores of items"


def run_folder(place: Path, name: str, change: Callable[[dict[str, Any]], object] = lambda raw: None) -> Path:
    """A complete synthetic run with one file of records."""

    def changed(raw: dict[str, Any]) -> None:
        raw["name"] = name
        raw["control_seconds"] = 60.0
        raw["files"] = {"items/pair-gap.parquet": hashlib.sha256(ITEMS).hexdigest(), "model/x": "0" * 64}
        change(raw)

    folder = write_run(place / "runs" / name, changed)
    (folder / "items").mkdir(exist_ok=True)
    (folder / "items/pair-gap.parquet").write_bytes(ITEMS)
    return folder


def record(name: str, trained: int = 3, **changes: Any) -> RunRecord:
    """A run whose training was made with so many seeds."""
    from data_runs import run_json

    raw = run_json()
    of_seeds = [{"seed": s, "training": raw["training"]} for s in range(trained)]
    return RunRecord.model_validate({**raw, "name": name, "seeds": of_seeds if trained > 1 else [], **changes})


def row(text: str, technique: str, heading: str = "### Differences") -> list[str]:
    """The cells of the first row that begins so, behind a heading."""
    part = text.partition(heading)[2]
    line = next(line for line in part.splitlines() if line.startswith(f"| {technique} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


# ----------------------------------------------------------------------------------------------------- what is kept
def test_what_is_kept_is_read_back_as_the_run_and_names_no_place_of_the_machine(tmp_path: Path) -> None:
    def with_places(raw: dict[str, Any]) -> None:
        raw["recipe"]["evaluation"]["data"] = "/home/someone/data"
        raw["recipe"]["run"] = {"output": "/home/someone/runs", "seed": 0}
        raw["recipe"]["model"] = {"name": "/home/someone/model/"}
        raw["steps"][0]["options"] = {"axes": ["gender", "~/packs/belief.toml", "C:\\Users\\someone\\age.toml"]}
        raw["overrides"] = ["data.train=/home/someone/text.txt", 'model.name="/home/someone/model"', "a.b=0.5", "c/d"]
        raw["model"]["origin"] = {"path": "/home/someone/model"}

    folder = run_folder(tmp_path, "pair-parity", with_places)
    assert keep([folder], tmp_path / "results") == []
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["pair-parity.json"]
    text = (tmp_path / "results/pair-parity.json").read_text(encoding="utf-8")
    assert not any(part in text for part in ("/home", "someone", "~/"))
    (again,) = kept(tmp_path / "results")
    assert again.recipe["model"]["name"] == "model"
    assert again.steps[0].options == {"axes": ["gender", "belief.toml", "age.toml"]}
    assert again.overrides == ["data.train=text.txt", "model.name=model", "a.b=0.5", "c/d"]
    assert (again.name, again.status, again.control_seconds) == ("pair-parity", "complete", 60.0)
    assert again.run_sha256 == hashlib.sha256((folder / "run.json").read_bytes()).hexdigest()
    assert [b.id for b in again.benchmarks] == ["pair-gap", "crows-pairs", "perplexity"]
    assert again.benchmarks[0].metrics[0].change.low == -0.171
    assert (again.samples, again.sections, again.events) == ([], [], [])


def test_of_two_runs_with_one_name_the_newer_is_kept_in_whatever_order(tmp_path: Path) -> None:
    old, new = (
        run_folder(tmp_path / day, "pair-parity", lambda r, d=day: r.update(finished=f"2026-01-{d}", seed=int(d)))
        for day in ("02", "03")
    )
    for order in ([old, new], [new, old]):
        assert keep(order, tmp_path / "results") == [f"{old} left out: {new} is a newer run of pair-parity"]
        assert kept(tmp_path / "results")[0].seed == 3
    assert kept(tmp_path / "results")[0].seed == 3


def test_an_older_run_does_not_replace_a_newer_one_that_is_kept(tmp_path: Path) -> None:
    old, new = (
        run_folder(tmp_path / day, "pair-parity", lambda r, d=day: r.update(finished=f"2026-01-{d}", seed=int(d)))
        for day in ("10", "20")
    )
    assert keep([new], tmp_path / "results") == []
    assert keep([old], tmp_path / "results") == [f"{old} left out: the kept run of pair-parity is newer, of 2026-01-20"]
    assert kept(tmp_path / "results")[0].seed == 20
    assert keep([new], tmp_path / "results") == []  # the same run again


def test_every_folder_that_cannot_be_used_is_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    folders = [
        run_folder(tmp_path, "good"),
        run_folder(tmp_path, "stopped", lambda raw: raw.update(status="failed")),
        run_folder(tmp_path, "measured", lambda raw: raw.update(kind="evaluation")),
        run_folder(tmp_path, "bare", lambda raw: raw.update(files={})),
        tmp_path / "nowhere",
    ]
    (run_folder(tmp_path, "altered") / "items/pair-gap.parquet").write_bytes(ITEMS + b"!")
    (run_folder(tmp_path, "robbed") / "items/pair-gap.parquet").unlink()
    folders += [tmp_path / "runs/altered", tmp_path / "runs/robbed"]
    with pytest.raises(UsageError) as caught:
        keep(folders, tmp_path / "results")
    runs = tmp_path / "runs"
    first, *lines = str(caught.value).splitlines()
    assert first == "toolkit evidence: 6 folders cannot be used"
    assert lines == [
        f"  - {runs / 'stopped'}: this run is not complete (failed)",
        f"  - {runs / 'measured'}: this is an evaluation of one model, not a run",
        f"  - {runs / 'bare'}: run.json names no records of items run it again",
        f"  - {tmp_path / 'nowhere'}: not a run folder there is no such folder name the folder that `toolkit run` or "
        "`toolkit eval` printed; it holds run.json and report.html",
        f"  - {runs / 'altered'}: items/pair-gap.parquet is not the file that the run wrote run it again",
        f"  - {runs / 'robbed'}: items/pair-gap.parquet is missing run it again",
    ]
    assert not (tmp_path / "results").exists()


def test_of_the_rows_of_a_step_the_counts_are_kept_and_no_text(tmp_path: Path) -> None:
    rows = {"read": 2, "kept": 1, "changed": 1, "added": 0, "dropped": {}, "out": 2, "facts": {"x": "secret text"}}
    rows["examples"] = [{"before": "secret text", "after": "b"}]
    folder = run_folder(tmp_path, "x", lambda raw: raw["steps"][0].update(rows=[rows]))
    found = collected(folder)
    assert found["steps"][0]["rows"] == [{k: rows[k] for k in ("read", "kept", "changed", "added", "dropped", "out")}]
    assert "secret text" not in json.dumps(found)


def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "x", lambda raw: raw.update(name="../x"))
    with pytest.raises(UsageError, match=r"its name '\.\./x' cannot be the name of a file"):
        collected(folder)


# --------------------------------------------------------------------------------------------------------- the page
def test_a_run_has_its_changes_verdicts_reasons_controls_and_time() -> None:
    control = {
        "id": "continued-training", "state": "run", "cost": 0.98, "tokens": 41000, "run_tokens": 41230,
        "benchmarks": [
            {"id": "pair-gap", "verdict": "improved", "metric": metric("gap", change=interval(-0.02, -0.03, -0.01))},
            {"id": "crows-pairs", "verdict": "no demonstrated effect",
             "metric": metric("share", change=interval(-0.1, -1.0, 0.8))},
        ],
    }  # fmt: skip
    other = {"id": "weight-noise", "state": "not applicable", "reason": "language quality did not fall"}
    text = page([record("pair-parity", control_seconds=60.0, controls=[control, other])], [])
    cells = row(text, "pair-parity")
    assert cells[2] == "\u22120.142 [\u22120.171, \u22120.114]<br>improved"
    assert cells[3] == (
        "\u22120.6 [\u22121.9, +0.7]<br>no demonstrated effect: the interval of the change includes zero"
    )
    assert cells[5] == ("continued-training: 1 of 2<br>weight-noise: not applicable, language quality did not fall")
    assert cells[6:] == [
        "3", "41,230 tokens<br>840 rows in, 1,152 out",
        "run 3\u00a0min\u00a012\u00a0s<br>a seed 1\u00a0min\u00a004\u00a0s<br>controls 1\u00a0min\u00a000\u00a0s",
    ]  # fmt: skip
    again = page([record("pair-parity", control_seconds=60.0, controls=[{**control, "reused": [0]}, other])], [])
    assert row(again, "pair-parity")[8].endswith(
        "1\u00a0min\u00a000\u00a0s, with the continued training of an earlier run"
    )
    assert row(text, "pair-parity", "### Against controls") == [
        "pair-parity", "continued-training", "0.980 (41,000 tokens)", "Pair gap, held-out templates",
        "\u22120.020 [\u22120.030, \u22120.010]", "yes",
    ]  # fmt: skip
    assert "| pair-parity | continued-training | 0.980 (41,000 tokens) | CrowS-Pairs |" in text
    assert row(text, "untouched model")[2] == "0.612 [0.571, 0.655]"


def test_a_training_with_one_seed_is_judged_nowhere() -> None:
    """Neither what changed, nor what quality lost, nor what a control showed; a run that trains nothing is judged."""
    compared = [
        {"id": "pair-gap", "verdict": "improved", "metric": metric("gap", change=interval(-0.02, -0.03, -0.01))}
    ]
    control = {"id": "continued-training", "state": "run", "cost": 0.98, "benchmarks": compared}
    text = page([record("alone", trained=1, controls=[control])], [])
    cells = row(text, "alone")
    assert cells[2] == "\u22120.142 [\u22120.171, \u22120.114]<br>one seed, not judged"
    assert [cell.rpartition("<br>")[2] for cell in cells[2:5]] == ["one seed, not judged"] * 3
    assert cells[5] == "continued-training: one seed, not judged"
    assert row(text, "alone", "### Against controls")[-1] == "one seed, not judged"
    assert row(text, "alone", "### At a glance")[1:] == ["one seed"] * 3
    assert "Of 0 runs with verdicts, 0 improved at least one benchmark" in text
    told = text.replace(LEGEND, "").replace("0 improved", "")
    assert not any(word in told for word in ("improve", "within budget", "yes"))
    untrained = page([record("still", trained=1, training=[], controls=[control])], [])
    assert row(untrained, "still")[2].endswith("<br>improved")
    assert row(untrained, "still", "### Against controls")[-1] == "yes"


def test_steps_have_the_options_that_the_recipe_gives_them_and_rows_the_share_that_is_new() -> None:
    rows = {"read": 1000, "kept": 900, "changed": 60, "added": 240, "dropped": {"too long": 40}, "out": 1200}
    first = step("rewriting", stages=["data"], state="data", options={"a": 1, "b": [True]}, rows=[rows])
    recipe = {"steps": [{"use": "rewriting", "id": "rewriting", "options": {"rewriter": "engine", "b": [True]}}]}
    cells = row(page([record("x", steps=[first], recipe=recipe)], []), "x")
    assert cells[1] == "rewriting [rewriter = engine, b = [true]]"
    assert cells[7] == "41,230 tokens<br>rewriting: 25.0\u00a0% of the rows new or changed, 4.0\u00a0% left out"


def test_items_that_decide_nothing_and_what_is_by_construction_are_told() -> None:
    """A run whose steps work with words of 300 items beside one that works with none: the values before differ."""
    first, second = record("a"), record("b")
    inside = {"n_items": 300, "n_other": 1208, "metric": None}
    fewer = first.benchmarks[1].model_copy(update={"n_items": 1208})
    fewer = type(fewer).model_validate({**fewer.model_dump(by_alias=True), "in_lexicon": inside})
    gap = metric("gap", change=interval(-0.02, -0.03, -0.01))
    compared = [{"id": "pair-gap", "verdict": "by construction, not evidence", "metric": gap},
                {"id": "crows-pairs", "verdict": "worse", "metric": gap}]  # fmt: skip
    control = {"id": "continued-training", "state": "run", "benchmarks": compared}
    first = record("a", controls=[control]).model_copy(update={"benchmarks": [first.benchmarks[0], fewer]})
    text = page([first, second], [])
    assert row(text, "a")[3].endswith("<br>1,208 of 1,508 items decide")
    assert "decide" not in row(text, "b")[3]
    assert row(text, "untouched model")[3] == "57.6 [55.1, 60.1], 1,208 items<br>57.6 [55.1, 60.1], 1,508 items"
    assert row(text, "a")[5] == "continued-training: 0 of 1"
    beaten = [line.split(" | ")[-1].strip(" |") for line in text.partition("### Against")[2].splitlines()[6:8]]
    assert beaten == ["by construction, not evidence", "no, the control is better"]


def test_a_verdict_is_written_like_any_other() -> None:
    """No verdict is set apart by type: the page has no bold, no italics and no pictures."""
    text = page([record("pair-parity")], [Technique("other", "data", "no recorded run")])
    assert not any(mark in text for mark in ("**", "__", "<b>", "![", "\u2705", "\u274c"))


def test_what_was_not_run_is_listed_by_stage_and_rows_of_no_technique_come_first() -> None:
    known = [
        Technique("averaging", "decoding", "no recorded run"),
        Technique("augmentation", "data", "no recorded run"),
        Technique("mixes", "data", "no consented corpus"),
    ]
    text = page([record("averaging"), record("no-swap-control")], known)

    def named(heading: str) -> list[str]:
        table = text.partition(f"### {heading}\n")[2].partition("\n### ")[0]
        return [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]

    assert named("At a glance") == ["technique", "---", "no-swap-control", "averaging"]
    assert named("Not run") == ["technique", "---", "augmentation", "mixes"]
    assert named("Differences") == ["technique", "---", "untouched model", "no-swap-control", "averaging"]
    assert row(text, "mixes", "### Not run") == ["mixes", "data", "no consented corpus"]
    assert "2 runs, 2 techniques not run." in text


def test_recipes_of_no_technique_are_listed_while_they_have_no_result(tmp_path: Path) -> None:
    swap = '[[steps]]\nuse = "counterfactual-averaging"\n'
    texts = {
        "protocol": '[model]\nname = "m"\n',  # no steps: others extend it
        "counterfactual-averaging": 'extends = "protocol.toml"\n' + swap,
        "counterfactual-averaging-masked": 'extends = "counterfactual-averaging.toml"\n',
        "pair-parity-weak": 'extends = "protocol.toml"\n[[steps]]\nuse = "pair-parity"\n',
        "no-swap-control": '[[steps]]\nuse = "train"\n',
        "planned": '[[steps]]\nuse = "pair-parity"\n',
        "not_run": '[not_run]\nplanned = "needs a corpus"\n',
        "pyproject": '[tool.x]\nextends = 1\n',
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text)
    found = further_recipes(tmp_path, techniques(discover(), read_not_run(tmp_path)))
    why = "its recipe has no recorded run"
    assert found == [
        Technique("counterfactual-averaging-masked", "decoding", why),
        Technique("no-swap-control", "", why),
        Technique("pair-parity-weak", "objective", why),
    ]
    text = page([record("no-swap-control")], [], recipes=found)
    assert "1 run, 2 other recipes without a run." in text
    assert row(text, "pair-parity-weak", "### Not run") == ["pair-parity-weak", "objective", why]
    assert "| no-swap-control |" not in text.partition("### Not run")[2].partition("###")[0]
    both = page([record("no-swap-control")], [Technique("averaging", "decoding", "no recorded run")], recipes=found)
    assert "1 run, 1 technique not run, 2 other recipes without a run." in both
    assert row(page([], [], recipes=found), "no-swap-control", "## No run") == ["no-swap-control", f"not run: {why}"]


def test_a_recipe_of_the_table_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[[steps]\n")
    with pytest.raises(RecipeError, match=r"mine\.toml: 1 problem"):
        made_page(tmp_path)


@pytest.mark.parametrize(
    ("verdict", "reason", "word"),
    [
        ("improved", "also better than continued training alone", "improved"),
        ("improved, controls not run", "not compared with continued training alone", "improved, controls not run"),
        ("worse", "the whole interval of the change lies on the worse side", "worse"),
        ("by construction, not evidence", "all items use words that the steps worked with", "by construction"),
        ("no demonstrated effect", "the interval of the change includes zero", "none"),
        ("no demonstrated effect", "improved, but not beyond continued training alone", "none (controls)"),
        ("no demonstrated effect", "improved, but the cost in language quality is over budget", "none (quality)"),
        ("no demonstrated effect", "improved, but language quality was not measured", "none (quality)"),
        ("no demonstrated effect", "improved, but not after the correction for several results", "none (correction)"),
        ("no demonstrated effect", "improved, but the model was not shown to do the task: skill", "none (task)"),
        ("no demonstrated effect", "improved, but age became worse", "none (other)"),
        ("too few items", "", "too few items"),
    ],
)
def test_at_a_glance_a_verdict_is_a_word_with_what_it_fell_short_of(verdict: str, reason: str, word: str) -> None:
    first = record("a")
    told = first.benchmarks[0].model_copy(update={"verdict": verdict, "reason": reason})
    of_one_seed = record("b", trained=1).model_copy(update={"benchmarks": [told]})
    text = page([first.model_copy(update={"benchmarks": [told, first.benchmarks[2]]}), of_one_seed], [])
    assert row(text, "technique", "### At a glance")[1:] == [told.label, "language quality"]
    assert row(text, "a", "### At a glance")[1:] == [word, "within budget"]
    counted = "Of 0 runs" if word in {"too few items", "by construction"} else "Of 1 run"
    assert f"{counted} with verdicts, {int(word == 'improved')} improved at least one benchmark beyond" in text
    assert f"and {int(word == 'worse')} made at least one worse." in text
    unjudged = word if word in {"too few items", "by construction"} else "one seed"
    assert row(text, "b", "### At a glance")[1] == unjudged


def test_seeds_are_shown_one_by_one() -> None:
    def seeded(raw: dict[str, Any]) -> dict[str, Any]:
        raw["benchmarks"][0]["metrics"][0]["seeds"] = [{"seed": s, "after": 0.4 + s / 100} for s in range(3)]
        training = raw["training"]
        return {"benchmarks": raw["benchmarks"], "seeds": [{"seed": s, "training": training} for s in range(3)]}

    from data_runs import run_json

    text = page([record("pair-parity", seconds=360.0, control_seconds=60.0, **seeded(run_json()))], [])
    assert row(text, "pair-parity", "### Each seed")[2:] == ["0.612", "0: 0.400, 1: 0.410, 2: 0.420"]
    assert row(text, "pair-parity")[6] == "3"
    assert row(text, "pair-parity")[8] == (
        "run 5\u00a0min\u00a000\u00a0s<br>a seed 1\u00a0min\u00a040\u00a0s<br>controls 1\u00a0min\u00a000\u00a0s"
    )
    assert "0: 41,230 tokens, 1: 41,230 tokens, 2: 41,230 tokens" in row(text, "pair-parity", "### What was run")


def test_numbers_of_another_definition_say_so_and_those_of_another_model_have_a_table_of_their_own() -> None:
    first, second = record("a", finished="2026-01-02"), record("b", finished="2026-01-01")
    before = metric("gap", primary=True, before=interval(0.5, 0.4, 0.6), change=interval(-0.1, -0.2, -0.05))
    other = {**first.benchmarks[0].model_dump(by_alias=True), "data_digest": "e" * 64, "metrics": [before]}
    other = type(first.benchmarks[0]).model_validate(other)
    second = second.model_copy(update={"benchmarks": [other, *first.benchmarks[1:]]})
    for order in ([first, second], [second, first]):  # the newest run says what a column is
        text = page(order, [])
        assert "another definition" not in row(text, "a")[2]
        title = "b<br>of older data: Pair gap, held-out templates"
        assert row(text, title)[2].endswith(
            "<br>by another definition (data eeeeeeeeeeee), not to be compared with this column"
        )
        digest = first.benchmarks[0].data_digest[:12]
        assert row(text, "untouched model")[2] == (
            f"0.612 [0.571, 0.655], data {digest}<br>0.50 [0.40, 0.60], data eeeeeeeeeeee"
        )
        assert f"| {digest} |" in text.partition("### Definitions")[2]
        assert "| eeeeeeeeeeee |" in text.partition("### Definitions")[2]
    elsewhere = first.model_copy(update={"model": first.model.model_copy(update={"digest": "9", "display_name": "B"})})
    assert page([first, elsewhere], []).count("\n## ") == 2


def test_a_benchmark_that_a_run_did_not_measure_is_said() -> None:
    first = record("a")
    fewer = record("b").model_copy(update={"benchmarks": first.benchmarks[:1]})
    assert row(page([first, fewer], []), "b")[3:5] == ["not measured", "not measured"]


def test_text_cannot_break_the_table() -> None:
    steps = [step("x|y"), step("<b>")]
    text = page([record("a", steps=steps)], [])
    assert "| a | x\\|y, &lt;b> |" in text


# --------------------------------------------------------------------------------------------------- what was not run
def test_every_mitigation_that_is_installed_is_listed_by_stage() -> None:
    from evenhand.discovery import discover

    found = {t.name: t for t in techniques(discover(), NotRun())}
    assert found["counterfactual-augmentation"] == Technique("counterfactual-augmentation", "data", "no recorded run")
    assert (found["pair-parity"].stage, found["selective-update"].stage) == ("objective", "architecture")
    assert found["counterfactual-averaging"].stage == "decoding"
    # what watches, explains or measures changes nothing
    assert not {"parity-monitor", "contrastive-explanation", "crows-pairs", "train"} & found.keys()
    reasons = NotRun(not_run={"planned": "needs a corpus"}, left_out={"temperature": "a control"})
    found = {t.name: t for t in techniques(discover(), reasons)}
    assert "temperature" not in found
    assert found["planned"] == Technique("planned", "", "needs a corpus")


def test_a_slip_in_what_is_left_out_hides_nothing() -> None:
    from evenhand.discovery import discover

    with pytest.raises(UsageError) as caught:
        techniques(discover(), NotRun(left_out={"temprature": "a control"}))
    assert str(caught.value) == (
        "not_run.toml: left_out: 'temprature' is no technique that is installed; did you mean 'temperature'?"
    )


def test_the_file_of_reasons_is_checked(tmp_path: Path) -> None:
    assert read_not_run(tmp_path) == NotRun()
    path = tmp_path / "not_run.toml"
    path.write_text('[not_run]\na = ""\n[lefout]\nb = "c"\n')
    with pytest.raises(UsageError) as caught:
        read_not_run(tmp_path)
    assert str(caught.value) == (
        f"{path}: not_run.a: '' is too short (at least 1); "
        "lefout: unknown key; did you mean 'left_out'? (known: distributions, not_run, left_out)"
    )
    path.write_text("[not_run\n")
    with pytest.raises(UsageError, match="this is not TOML"):
        read_not_run(tmp_path)


def test_the_page_of_a_folder_has_its_own_text_and_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "about.md").write_text("Our protocol.\n")
    assert "# Evidence\n\nOur protocol.\n\n## No run is recorded" in made_page(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a.json").write_text("{")
    with pytest.raises(UsageError, match=r"a\.json: this is no JSON"):
        made_page(tmp_path)


def test_the_command_keeps_runs_and_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from evenhand.cli import toolkit

    monkeypatch.chdir(tmp_path)
    nothing = CliRunner().invoke(toolkit, ["evidence", "--output", "table"])
    assert nothing.stderr == (
        "table: no run is named, and there is no table to write again\n"
        "  name the folders of runs, or with --output that of a table\n"
    )
    assert nothing.exit_code == 2 and not Path("table").exists()
    folder = run_folder(tmp_path, "pair-parity")
    done = CliRunner().invoke(toolkit, ["evidence", str(folder), "--output", "table"])
    assert (done.exit_code, done.output.strip()) == (0, str(Path("table/README.md")))
    text = (tmp_path / "table/README.md").read_text(encoding="utf-8")
    assert row(text, "pair-parity")[0] == "pair-parity"
    assert json.loads((tmp_path / "table/results/pair-parity.json").read_text())["name"] == "pair-parity"
    again = CliRunner().invoke(toolkit, ["evidence", "--output", "table"])
    assert again.exit_code == 0
    assert (tmp_path / "table/README.md").read_text(encoding="utf-8") == text


@pytest.mark.usefixtures("trial", "own_cache")
def test_runs_of_one_protocol_are_collected_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recipes that extend a protocol are run on a tiny model and collected; the values are those of run.json."""
    from evenhand import api
    from evenhand_sdk.tiny import save_tiny

    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    lines = [f"The nurse number {n} said that she would come back to the house.\n" for n in range(12)]
    (tmp_path / "train.txt").write_text("".join(lines))
    (tmp_path / "protocol.toml").write_text(
        f'[model]\nname = "{tmp_path / "tiny"}"\n[data]\ntrain = "train.txt"\n[traffic]\nlimit = 0\n'
        "[training]\nmax_tokens = 150\nbatch_size = 4\nlearning_rate = 1e-3\n[evaluation]\nresamples = 200\n"
        '[[benchmarks]]\nuse = "trial-length"\n[[benchmarks]]\nuse = "trial-quality"\n'
    )
    results = []
    for name, steps, seeds in (("trial-pull", '[[steps]]\nuse = "trial-pull"\n', 2), ("plain", "", 1)):
        text = f'extends = "protocol.toml"\n[run]\nseeds = {seeds}\n{steps}[[steps]]\nuse = "train"\n'
        (tmp_path / f"{name}.toml").write_text(text)
        results.append(api.run(tmp_path / f"{name}.toml"))
    keep([r.folder for r in results], tmp_path / "results")
    plain, pull = kept(tmp_path / "results")
    assert (plain.name, pull.name) == ("plain", "trial-pull")
    assert (plain.baseline.measured, plain.baseline.reused) == ([], ["trial-length", "trial-quality"])
    assert [s.seed for s in pull.seeds] == [0, 1]
    for result, found in zip(results, (pull, plain), strict=True):
        value = result.benchmarks[0]["metrics"][0]["change"]["value"]
        assert found.benchmarks[0].metrics[0].change.value == pytest.approx(value, rel=1e-6)
        assert found.training[0].tokens == result.record["training"][0]["tokens"] == pytest.approx(150, rel=0.3)
        assert all(len(d.code) == 64 for d in found.distributions)
        assert str(tmp_path) not in json.dumps(found.model_dump(mode="json"))
    text = page([pull, plain], [])
    assert row(text, "trial-pull")[1] == "trial-pull, train"
    assert row(text, "trial-pull", "### Each seed")[0] == "trial-pull"
    assert text.count("untouched model |") == 1 and "<br>" not in row(text, "untouched model")[2]


def test_models_that_have_one_name_and_other_weights_are_told_apart() -> None:
    one = record("a")
    other = record("b").model_copy(update={"model": one.model.model_copy(update={"digest": "f" * 64})})
    assert page([one], []).count(f"## {one.model_label}\n") == 1
    text = page([one, other], [])
    assert f"## {one.model_label} (weights {one.model.digest[:12]})\n" in text
    assert f"## {one.model_label} (weights ffffffffffff)\n" in text

"""Runs in which no step changed the model: values and findings, and nothing about verdicts, cost or controls."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from data_run_parts import benchmark, interval, metric, step
from data_runs import run_json, write_run
from evenhand.model_card import front_matter, render_card
from evenhand.report import render_report
from evenhand.report_answer import answers
from evenhand.report_contamination import degrees
from evenhand.report_reading import parse_run, read_run
from evenhand.report_record import RunRecord
from evenhand.report_rows import lines
from evenhand.report_values import axis_rows, caution, tallies
from evenhand.summary import WIDTH, print_summary

AUDIT = step(
    "corpus-audit", stages=["data", "transparency"], state="reading", options={}, summary="Audits the text.",
    proofs=[{"stage": "data", "took": True, "what": "8 rows read, none changed; texts: 8", "size": 8.0}],
    rows=[{"read": 8, "kept": 8, "out": 8, "facts": {"texts": 8, "duplicate texts": "12.5 %"}}],
)  # fmt: skip
WATCH = step("parity-monitor", stages=["monitoring"], state="monitoring")
EXPLAIN = step("contrastive-explanation", stages=["transparency"], state="transparency")
SEEN = {
    "requests": 6, "probes": 6,
    "findings": [{"monitor": "parity-monitor", "title": "No disparity was demonstrated", "detail": "6 new pairs"}],
}  # fmt: skip
DATASHEET = {"step": "corpus-audit", "title": "Datasheet: training text", "text": "What it is made of.",
             "facts": [{"label": "words", "value": 69}],
             "figures": [{"type": "bars", "labels": ["a"], "values": [8.0], "caption": "How often."}]}  # fmt: skip
WHY = {"step": "contrastive-explanation", "title": "Why she", "facts": [{"label": "gap", "value": 4.79}]}
GAP = benchmark("gap", title="Pair gap", n_items=40, n_clusters=40, verdict="too few items", metrics=[
    metric("mean gap", unit="nat", primary=True, after=interval(0.0629, 0.0391, 0.0946)),
    metric("signed gap", better="nearer", target=0.0, after=interval(0.02, -0.09, 0.13)),
])  # fmt: skip


def raw(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A run of these steps alone, with nothing measured, watched or written unless it is said."""
    nothing: dict[str, Any] = {"training": [], "benchmarks": [], "quality": None, "controls": [], "samples": [],
                               "monitoring": None, "sections": [], "events": [], "contamination": None}  # fmt: skip
    whole = run_json()
    return {**whole, **nothing, "recipe": {**whole["recipe"], "steps": list(steps)}, "steps": list(steps), **changes}


def run_of(*steps: dict[str, Any], **changes: Any) -> RunRecord:
    return parse_run(raw(*steps, **changes))


def printed(folder: Path, given: dict[str, Any]) -> str:
    def replace(whole: dict[str, Any]) -> None:
        whole.clear()
        whole.update(given)

    out = Console(file=io.StringIO(), width=WIDTH, markup=False, highlight=False, emoji=False)
    print_summary(write_run(folder, replace), console=out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().replace(str(folder), "RUN")


# ------------------------------------------------------------------------------------------------- which runs
@pytest.mark.parametrize(
    ("run", "unchanged"),
    [
        (run_of(), True),
        (run_of(AUDIT), True),
        (run_of(AUDIT, WATCH, EXPLAIN), True),
        (run_of(WATCH, {**AUDIT, "stages": ["data"]}), True),
        (run_of(step("swap", stages=["data"], state="data", active=False)), True),
        (run_of(step("swap", stages=["data"], state="data")), False),
        (run_of(step("both", stages=["data", "decoding"], state="reading")), False),
        (run_of(WATCH, step("rule", stages=["decoding"], state="decoding")), False),
        (run_of(AUDIT, training=[{"id": "train", "steps": 3}]), False),
        (run_of(recipe={"steps": [{"use": "swap"}]}), False),  # it failed before its steps were written down
        (run_of(recipe={}), False),
    ],
)
def test_a_run_is_unchanged_where_nothing_could_change_the_model(run: RunRecord, unchanged: bool) -> None:
    assert run.unchanged is unchanged


# --------------------------------------------------------------------------------------------------- the page
MEASURED = (
    "Pair gap: mean gap 0.063 nat (lower is better), 95 % interval [0.039, 0.095]. "
    "Too few items for an interval worth reading."
)
READ = "corpus-audit read 8 rows: texts: 8; duplicate texts: 12.5 %."
WATCHED = "parity-monitor: No disparity was demonstrated: 6 new pairs."
MODEL = run_json()["model"]["display_name"]


@pytest.mark.parametrize(
    ("run", "heading", "sections", "said"),
    [
        (
            run_of(AUDIT, sections=[DATASHEET]),
            "What the training text holds",
            ["sections", "steps", "limits", "provenance"],
            {"What was found?": READ, "What was done?": "corpus-audit read the training text."},
        ),
        (
            run_of(benchmarks=[GAP]),
            f"{MODEL}, measured",
            ["values", "limits", "provenance"],
            {"What was measured?": MEASURED, "What was done?": "this run is a measurement only."},
        ),
        (
            run_of(AUDIT, benchmarks=[GAP], sections=[DATASHEET]),
            f"{MODEL}, measured",
            ["values", "sections", "steps", "limits", "provenance"],
            {
                "What was measured?": MEASURED,
                "What was found?": READ,
                "What was done?": "corpus-audit read the training text.",
            },
        ),
        (
            run_of(WATCH, monitoring=SEEN),
            f"{MODEL}, watched",
            ["monitoring", "steps", "limits", "provenance"],
            {"What was found?": WATCHED, "What was done?": "parity-monitor watched its answers."},
        ),
        (
            run_of(EXPLAIN, WATCH, monitoring=SEEN, sections=[WHY]),
            f"{MODEL}, watched and explained",
            ["monitoring", "sections", "steps", "limits", "provenance"],
            {
                "What was found?": f"{WATCHED} Why she: gap: 4.79.",
                "What was done?": "contrastive-explanation explained it and parity-monitor watched its answers.",
            },
        ),
        (
            run_of(),
            f"{MODEL}, unchanged",
            ["limits", "provenance"],
            {
                "What was found?": "Nothing: no benchmark was run, and no step looked at anything.",
                "What was done?": "no benchmark measured it.",
            },
        ),
    ],
)
def test_the_page_has_what_the_run_found_and_nothing_else(
    run: RunRecord, heading: str, sections: list[str], said: dict[str, str]
) -> None:
    html = render_report(run)
    assert re.findall(r"<h1>(.*?)</h1>", html) == [heading]
    assert re.findall(r'<h2 id="([a-z]+)">', html) == sections
    assert re.findall(r'<a href="#([a-z]+)">', html) == sections
    whole = {**said, "What was done?": f"No step changed {MODEL}: {said['What was done?']}"}
    assert answers(run) == list(whole.items())
    shown = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    for word in ("Verdict", "budget", "Before", "before and after", "had to beat", "What is missing", "learnt from"):
        assert word not in shown, word
    assert ("items/ beside this page" in shown) == bool(run.benchmarks)


def test_a_table_of_values_has_no_before_and_no_change() -> None:
    html = render_report(run_of(benchmarks=[GAP]))
    assert re.findall(r'<th role="columnheader"[^>]*>(.*?)</th>', html) == ["Metric", "Value", "95 % interval"]
    cells = re.findall(r'data-label="(.*?)">(?:<span class="interval">)?(.*?)<', html)
    assert cells == [
        ("Value", "0.063 nat"), ("95 % interval", "[0.039, 0.095]"),
        ("Value", "0.02"), ("95 % interval", "[\u22120.09, 0.13]"),
    ]  # fmt: skip


def test_published_values_come_first() -> None:
    expected = {"benchmark": "gap", "metric": "mean gap", "value": 0.06, "tolerance": 0.01, "verdict": "reproduced",
                "source": "a paper", "found": interval(0.0629, 0.0391, 0.0946)}  # fmt: skip
    html = render_report(run_of(benchmarks=[GAP], expectations=[expected]))
    assert re.findall(r'<h2 id="([a-z]+)">', html) == ["published", "values", "limits", "provenance"]


def test_a_step_that_read_says_so_once_and_shows_no_table_of_rows() -> None:
    html = render_report(run_of(AUDIT, sections=[DATASHEET]))
    steps = html[html.index('id="steps"') : html.index('id="limits"')]
    assert "<dt>Read</dt><dd>8 rows read, none changed; texts: 8</dd>" in steps
    assert "<table" not in steps and "12.5" not in steps
    assert "corpus-audit, on the training text" in html and "<caption>The training text: How often.</caption>" in html
    assert '<td class="num">8</td>' in html  # a count has no decimals


def test_answers_that_are_the_same_are_shown_once_and_those_that_an_intervention_changed_twice() -> None:
    same, other = ({"prompt": "She", "before": " sat.", "after": after} for after in (" sat.", " stood."))
    once, twice = (run_of(WATCH, monitoring=SEEN, samples=[sample]) for sample in (same, other))
    assert '<p class="text">sat.</p>' in render_report(once) and "Before" not in render_report(once)
    assert "<del>sat</del>" in render_report(twice) and "<ins>stood</ins>" in render_report(twice)
    assert dict(answers(twice))["What was done?"] == (
        f"No step changed {MODEL}: parity-monitor watched its answers and changed some."
    )


def test_monitors_are_told_of_only_where_there_were_any() -> None:
    requests = {"requests": 24, "probes": 0, "findings": []}
    assert not run_of(EXPLAIN, monitoring=requests).served
    assert "What was found?" not in dict(answers(run_of(benchmarks=[GAP], monitoring=requests)))
    found = dict(answers(run_of(WATCH, monitoring=requests)))["What was found?"]
    assert found == "The monitors saw 24 requests and found nothing to report."


# ------------------------------------------------------------------------------------- values that a run recorded
def test_counts_and_cautions_are_those_after() -> None:
    counts = {"items": 40, "without value": [2, 2], "flags": {"tie": [3, 3], "in_lexicon": [0, 0]}}
    axes = [{"axis": "age", "n_items": 4, "state": "too few items", "after": interval(1.0, 0.5, 1.5)},
            {"axis": "gender", "n_items": 36, "state": "undecided", "after": interval(1.0, 0.5, 1.5)}]  # fmt: skip
    [found] = run_of(benchmarks=[{**GAP, "counts": counts, "axes": axes}]).benchmarks
    assert tallies(found) == "2 without a value and 3 tie"
    assert caution(found) == "Too few items for an interval worth reading."
    assert [row.detail for row in axis_rows(found)] == ["4 items, too few items", "36 items"]


# ---------------------------------------------------------------------------------------------------- terminal
def test_the_whole_text_of_a_run_that_only_looked(tmp_path: Path) -> None:
    assert printed(tmp_path, raw(AUDIT, sections=[DATASHEET])) == LOOKED.replace("MODEL", MODEL)


LOOKED = """\
Run quickstart: MODEL

What was done
  No step changed MODEL: corpus-audit read the training text.

What was found
  corpus-audit, 8 rows read:
    texts            8
    duplicate texts  12.5 %

Where it is
  all  RUN

Took 4 min 12 s.
"""


def test_the_whole_text_of_a_measurement_beside_a_monitor(tmp_path: Path) -> None:
    given = raw(WATCH, benchmarks=[{**GAP, "verdict": "no demonstrated effect", "scoring": "log-likelihood"}],
                monitoring=SEEN, events=[{"stage": "training", "text": "a batch was halved"}])  # fmt: skip
    assert printed(tmp_path, given) == WATCHING.replace("MODEL", MODEL)


WATCHING = """\
Run quickstart: MODEL

What was done
  No step changed MODEL: parity-monitor watched its answers.

What was measured (95 % intervals)
  scored by: log-likelihood

  Pair gap
    40 items
    metric        value      95 % interval   better
    mean gap      0.063 nat  [0.039, 0.095]  lower is better
      signed gap  0.02       [\u22120.09, 0.13]   ideal 0
    counted: nothing excluded, no flags

Notes
  - training: a batch was halved

What was found
  - parity-monitor: No disparity was demonstrated: 6 new pairs.

Where it is
  all  RUN

Took 4 min 12 s.
"""


# -------------------------------------------------------------------------------------------------------- card
def test_the_card_of_a_model_that_nothing_changed_claims_nothing(tmp_path: Path) -> None:
    run = run_of(WATCH, benchmarks=[GAP], monitoring=SEEN)
    text = render_card(run)
    assert f"\n# {MODEL}, measured and watched\n" in text
    assert "| Pair gap | mean gap (lower is better) | 40 | 0.063 nat | \\[0.039, 0.095\\] |" in text
    assert "No step changed the weights, so plain `transformers` is enough:" in text
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == [
        "Values", "Steps", "How to load it", "Intended use", "How to read this, and its limits", "Provenance",
    ]  # fmt: skip
    assert "bias-mitigation" not in front_matter(run) and "- parity-monitor" in front_matter(run)
    assert "mitigation" not in text and "Before" not in text and "budget" not in text


def test_a_card_without_benchmarks_names_no_items() -> None:
    text = render_card(run_of(EXPLAIN, sections=[WHY]))
    assert "The full report is `report.html`, and the record it was made from `run.json`." in text
    assert "## Values" not in text and "items/" not in text


# ------------------------------------------------------------------------------------------- ordinary runs beside
@pytest.mark.parametrize(
    ("compared", "heads"),
    [
        ([], ["words of a step"]),
        (
            [{"what": "training text", "texts": 9}],
            ["word for word", "13 words in a row", "but for group words", "words of a step"],
        ),
    ],
)
def test_overlap_with_texts_is_a_column_only_where_texts_were_learnt_from(
    compared: list[dict[str, Any]], heads: list[str]
) -> None:
    overlap = {"id": "gap", "compared": True, "items": 40, "lexicon": {"items": 10, "share": 0.25}}
    lists = [{"name": "axis pack", "words": 9, "steps": ["rule"]}]
    record = {"setting": "report", "compared": compared, "lists": lists, "benchmarks": [overlap]}
    run = run_of(step("rule", stages=["decoding"], state="decoding"), benchmarks=[GAP], contamination=record)
    assert degrees(run) == heads
    html = render_report(run)
    table = html[html.index('id="contamination"') : html.index('id="steps"')]
    assert re.findall(r'<th scope="col" class="num">(.*?)</th>', table) == [head.capitalize() for head in heads]
    assert table.count('<td class="num">') == len(heads) and "10 of 40 (25\u00a0%)" in table
    assert ("The first three degrees" in table) == bool(compared)


def test_the_account_of_training_rows_leaves_out_steps_that_only_read_them() -> None:
    swap = step("swap", stages=["data"], state="data", rows=[{"read": 8, "kept": 6, "changed": 2, "out": 8}])
    bad = {**AUDIT, "id": "late", "rows": [{"read": 8, "kept": 7, "quarantined": {"no text": 1}, "out": 7}]}
    assert [line.partition(":")[0] for line in lines(run_of(AUDIT, swap, bad))] == ["swap", "late"]


def test_a_run_folder_is_read_as_such_a_run(tmp_path: Path) -> None:
    assert read_run(write_run(tmp_path, lambda whole: whole.update(raw(AUDIT)))).only_looked

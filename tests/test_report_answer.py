"""What the answer of a run rests on, in the words of the first screen."""

from __future__ import annotations

from typing import Any

import pytest

from data_run_parts import benchmark, interval, metric
from data_runs import run_json
from evenhand.report_answer import answers, grounds
from evenhand.report_reading import parse_run


def raw(**values: Any) -> dict[str, Any]:
    """A run of one bias benchmark whose decisive metric would have shown a change of 0.05."""
    decisive = metric("gap", unit="nat", primary=True, change=interval(-0.1, -0.12, -0.08), detectable=0.05)
    shape = {"n_items": 90, "n_clusters": 30, "metrics": [decisive], "verdict": "improved"}
    return {**run_json(), "benchmarks": [benchmark("A", **{**shape, **values})], "controls": [], "contamination": None}


def control(identity: str, verdict: str = "", **values: Any) -> dict[str, Any]:
    beside = [{"id": "A", "metric": metric("gap"), "verdict": verdict}] if verdict else []
    return {"id": identity, "state": "run" if verdict else "not run", "required": True, "benchmarks": beside, **values}


ITEMS = "It rests on 90 items in 30 independent groups. A change of less than 0.050 nat would often have been missed."
UNCHECKED = " Whether its items occur in what the run learnt from was not checked."


def test_the_most_pressing_question_comes_first() -> None:
    assert [question for question, _ in answers(parse_run(raw()))] == [
        "Did it help?", "What did it cost?", "Can it be believed?", "What was done?",
    ]  # fmt: skip


def test_items_and_power() -> None:
    assert grounds(parse_run(raw())) == ITEMS + UNCHECKED


def test_items_that_decide_nothing_are_counted() -> None:
    found = grounds(parse_run(raw(in_lexicon={"n_items": 12, "n_other": 90})))
    assert found.startswith("It rests on 90 items in 30 independent groups; 12 with words that the steps worked with ")


def test_a_change_by_construction_is_no_evidence_whatever_its_size() -> None:
    found = grounds(parse_run(raw(verdict="by construction, not evidence")))
    assert found.startswith("Not as evidence about bias: ") and "missed" not in found and "rests on" not in found


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        ([control("c", "improved"), control("w", "improved")], "The run is better than c and w (controls)."),
        (
            [control("c", "improved"), control("w", "no demonstrated effect")],
            "The run is better than c; it was not shown to be better than w (controls).",
        ),
        ([control("c", "worse")], "The run was not shown to be better than c (controls)."),
        ([control("c", reason="switched off in the recipe")], "No control was run: switched off in the recipe."),
        ([control("c", reason="it did not fall", state="not applicable")], "No control applies: it did not fall."),
        (
            [
                control("weight-noise", reason="no claim to test"),
                control("weight-rounding", reason="it is made only where a recipe names it"),
            ],
            "No control was run: no claim to test.",
        ),
        ([control("weight-rounding", reason="it is made only where a recipe names it")], ""),
        ([], ""),
    ],
)
def test_controls_by_what_became_of_them(controls: list[dict[str, Any]], said: str) -> None:
    found = grounds(parse_run({**raw(), "controls": controls}))
    assert found == f"{ITEMS} {said}".rstrip() + UNCHECKED


@pytest.mark.parametrize(
    ("exact", "said"),
    [
        (0, "None of its items occurs in what the run learnt from."),
        (3, "3 items of 90 occur in what the run learnt from, and may be memory."),
        (1, "1 item of 90 occurs in what the run learnt from, and may be memory."),
    ],
)
def test_overlap_with_what_was_learnt(exact: int, said: str) -> None:
    overlap = {"id": "A", "compared": True, "items": 90, "exact": {"items": exact}, "lexicon": {"items": 50}}
    record = {"setting": "report", "compared": [{"what": "training text", "texts": 9}], "benchmarks": [overlap]}
    assert grounds(parse_run({**raw(), "contamination": record})) == f"{ITEMS} {said}"


def test_without_a_bias_benchmark_there_is_nothing_to_believe() -> None:
    assert grounds(parse_run({**raw(), "benchmarks": []})) == "There is nothing to believe: no bias benchmark was run."


def test_a_small_change_is_written_without_a_power_of_ten() -> None:
    from evenhand.verdict_text import _number

    assert [_number(v) for v in (0.0003092, 2.393e-05, -0.0005972, 0.0123456, 1.5e-9, 0.0, None)] == [
        "0.00031", "0.000024", "\u22120.00060", "0.01235", "1.5e\u221209", "0", "an unknown size",
    ]  # fmt: skip

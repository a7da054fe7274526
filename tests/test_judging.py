"""What is left of an improvement beside controls, language quality, axes and the other benchmarks; one reason each."""

from __future__ import annotations

from typing import Any

import pytest

from evenhand.control_steps import CONTINUED, DEGRADATION
from evenhand.judging import claims, judge
from evenhand.report_wording import UNTESTED


def interval(value: float, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def entry(**other: Any) -> dict[str, Any]:
    metric = {"name": "gap", "primary": True, "p": 0.01, "p_adjusted": 0.02, "adjusted_by": "Holm, 2 bias benchmarks"}
    plain = {"id": "gap", "quality": False, "verdict": "improved", "reason": "", "verdict_text": "It fell."}
    return {**plain, "metrics": [metric], "axes": [], **other}


def beside(name: str, verdict: str = "", *, state: str = "run") -> dict[str, Any]:
    metric = {
        "name": "gap", "unit": "nat", "change": interval(-0.01, -0.03, 0.01), "distance_change": None,
    }  # fmt: skip
    shown = [{"id": "gap", "verdict": verdict, "metric": metric}] if state == "run" else []
    return {"id": name, "state": state, "reason": "", "benchmarks": shown}


KEPT = {"verdict": "within budget"}
NAMES = (CONTINUED, *DEGRADATION)
ALL = [beside(name, "improved") for name in NAMES]
EVERY = (
    "continued training alone, weight noise of the same cost, a unigram mixture of the same cost and a temperature of "
    "the same cost"
)
NONE = "no demonstrated effect"
WORSE = {"axis": "religion", "state": "worse beyond its margin"}

CASES: dict[str, tuple[Any, Any, Any, str, str, str]] = {
    "better than every control": (
        {}, ALL, KEPT, "improved", f"also better than {EVERY}", f"It fell. It is also better than {EVERY}.",
    ),
    "not beyond one": (
        {}, [beside(CONTINUED, NONE), *ALL[1:]], KEPT, NONE, "improved, but not beyond continued training alone",
        "It fell. But it is not shown to be better than continued training alone: it changed by \u22120.01 "
        "nat (interval \u22120.03 to 0.01) against it.",
    ),
    "over budget": (
        {}, ALL, {"verdict": "over budget", "decided_by": "perplexity"}, NONE,
        "improved, but the cost in language quality by perplexity is over budget",
        "It fell. But the cost in language quality by perplexity is over budget, so this does not count as an "
        "improvement.",
    ),
    "not shown to be within budget": (
        {}, ALL, {"verdict": "not shown to be within budget"}, NONE,
        "improved, but the cost in language quality is not shown to be within budget",
        "It fell. But the cost in language quality is not shown to be within budget, so this does not count as an "
        "improvement.",
    ),
    "no quality": (
        {}, ALL, None, NONE, "improved, but language quality was not measured",
        "It fell. But language quality was not measured, so it may be the price of a worse model.",
    ),
    "an axis became worse": (
        {"axes": [{"axis": "age", "state": "within its margin"}, WORSE]}, ALL, KEPT, NONE,
        "improved, but axis religion became worse beyond the margin",
        "It fell. But axis religion became worse beyond the margin, so this does not count as an improvement.",
    ),
    "noise did not run": (
        {}, [*ALL[:1], beside("weight-noise", state="not run"), *ALL[2:]], KEPT, UNTESTED,
        "not compared with weight noise of the same cost",
        "It fell. It has not been compared with weight noise of the same cost.",
    ),
    "continued training and unigrams did not run": (
        {}, [beside(CONTINUED, state="not run"), ALL[1], beside("unigram-mix", state="not run"), ALL[3]], KEPT,
        UNTESTED,
        "not compared with continued training alone and a unigram mixture of the same cost",
        "It fell. It has not been compared with continued training alone and a unigram mixture of the same cost.",
    ),
    "only the temperature did not run": (
        {}, [*ALL[:3], beside("temperature", state="not run")], KEPT, "improved",
        "also better than continued training alone, weight noise of the same cost and a unigram mixture of the same "
        "cost",
        "It fell. It is also better than continued training alone, weight noise of the same cost and a unigram mixture "
        "of the same cost.",
    ),
    "one that a step asks for did not run": (
        {}, [*ALL, {**beside("random-heads", state="not run"), "required": True}], KEPT, UNTESTED,
        "not compared with the loss of random heads of the same cost",
        "It fell. It has not been compared with the loss of random heads of the same cost.",
    ),
    "one that nobody asked for did not run": (
        {}, [*ALL, {**beside("weight-rounding", state="not run"), "required": False}], KEPT, "improved",
        f"also better than {EVERY}", f"It fell. It is also better than {EVERY}.",
    ),
    "none applies": (
        {}, [beside(n, state="not applicable") for n in NAMES], KEPT, "improved",
        "better than the untouched model, at no cost that a control could match", "It fell.",
    ),
    "one of the recipe's own": (
        {}, [*ALL, beside("mine", "worse")], KEPT, NONE, "improved, but not beyond the control mine",
        "It fell. But it is not shown to be better than the control mine: it changed by \u22120.01 nat "
        "(interval \u22120.03 to 0.01) against it.",
    ),
    "a control comes before the budget": (
        {}, [beside(CONTINUED, NONE)], None, NONE, "improved, but not beyond continued training alone",
        "It fell. But it is not shown to be better than continued training alone: it changed by \u22120.01 "
        "nat (interval \u22120.03 to 0.01) against it.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_improvement_stands_only_beside_all_that_could_explain_it(case: str) -> None:
    other, controls, quality, verdict, reason, text = CASES[case]
    found = judge(entry(**other), controls, quality, primary=True)
    assert (found["verdict"], found["reason"], found["verdict_text"]) == (verdict, reason, text)


def test_what_is_not_the_primary_measure_must_stand_the_correction() -> None:
    """The corrected p is 0.02: enough at 5 %, and too large at 1 %. The declared measure is one result, not several."""
    assert judge(entry(), ALL, KEPT, primary=False, level=0.05)["verdict"] == "improved"
    found = judge(entry(), ALL, KEPT, primary=False, level=0.01)
    assert (found["verdict"], found["reason"]) == (
        NONE,
        "improved, but not after the correction for several results (Holm, 2 bias benchmarks: p = 0.020)",
    )
    assert judge(entry(), ALL, KEPT, primary=True, level=0.01)["verdict"] == "improved"


GAP = {"id": "gap-race", "quality": False, "verdict": "worse", "one_axis": {**WORSE, "axis": "race"}}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (GAP, "axis race became worse beyond the margin on gap-race"),
        ({**GAP, "one_axis": None, "axes": [WORSE]}, "axis religion became worse beyond the margin on gap-race"),
        ({**GAP, "one_axis": {"axis": "race", "state": "undecided"}}, ""),
        ({**GAP, "one_axis": {"axis": "race", "state": "within its margin"}}, ""),
        ({**GAP, "verdict": "by construction, not evidence"}, ""),
        ({**GAP, "verdict": "too few items"}, ""),
        ({**GAP, "quality": True}, ""),
        ({**GAP, "id": "gap"}, ""),
    ],
)
def test_no_improvement_is_paid_for_by_an_axis_that_another_benchmark_measures(
    other: dict[str, Any], reason: str
) -> None:
    found = judge(entry(), ALL, KEPT, primary=True, others=[entry(), other])
    if reason:
        assert (found["verdict"], found["reason"]) == (NONE, f"improved, but {reason}")
    else:
        assert found["verdict"] == "improved"


@pytest.mark.parametrize("other", [{"verdict": "worse"}, {"verdict": NONE}, {"quality": True}])
def test_nothing_else_is_judged(other: dict[str, Any]) -> None:
    assert judge(entry(**other), [beside(CONTINUED, "worse")], None, primary=True) == entry(**other)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_claim_is_what_only_controls_can_contradict(case: str) -> None:
    """So that a run without claims needs no controls: its verdicts are settled."""
    other, controls, quality, verdict, reason, _ = CASES[case]
    standing = claims([entry(**other)], quality, primary="gap")
    beaten_by_one = reason.startswith("improved, but not beyond") and quality == KEPT
    assert standing == (["gap"] if verdict in ("improved", UNTESTED) or beaten_by_one else [])
    if not standing:
        without = judge(entry(**other), (), quality, primary=True)
        assert without["verdict"] == judge(entry(**other), controls, quality, primary=True)["verdict"] == NONE


def test_claims_know_the_primary_measure_the_level_and_the_other_benchmarks() -> None:
    second = entry(id="other")
    quality = {"id": "perplexity", "quality": True, "verdict": "improved"}
    assert claims([entry(), second, quality], KEPT, primary=None, level=0.05) == ["gap", "other"]
    assert claims([entry(), second], KEPT, primary="other", level=0.01) == ["other"]
    assert claims([entry(), GAP], KEPT, primary="gap") == []
    assert claims([entry(verdict="worse"), entry(verdict=NONE, id="other")], KEPT, primary=None) == []

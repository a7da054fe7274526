"""What a model cannot do, it cannot become fairer at: an improvement at chance is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data_records import GAP, benchmark, records
from evenhand.contributions import Metric
from evenhand.errors import PluginFault
from evenhand.evaluation_entry import measured_entry
from evenhand.evidence import compare_benchmark
from evenhand.judging import judge
from evenhand.planted import check_planted
from evenhand.report_results import BenchmarkResult
from evenhand.report_values import caution

ABOVE = Metric(name="above chance", value="above", better="higher", unit="points")
TEST = replace(benchmark(GAP, ABOVE), able="above chance")
NOISE = np.random.default_rng(0).normal(0, 1, 60)
"""60 values of mean about 0: no ability is shown by them."""


def side(gap: float, above: Any) -> list[Any]:
    return records(np.full(60, gap) + NOISE / 100, above=np.broadcast_to(above, 60) + 0 * NOISE)


def entry(before: Any, after: Any, gaps: tuple[float, float] = (1.0, 0.5)) -> dict[str, Any]:
    return compare_benchmark(TEST, side(gaps[0], before), side(gaps[1], after), resamples=500)


def test_an_improvement_of_a_model_that_does_the_task_stands() -> None:
    found = entry(5 + NOISE, 4 + NOISE)
    assert found["verdict"] == "improved" and "unable" not in found


@pytest.mark.parametrize(("when", "levels"), [("before", (0.0, 5.0)), ("after", (5.0, 0.0))])
def test_at_chance_on_either_side_it_is_no_improvement_and_says_why(when: str, levels: tuple[float, float]) -> None:
    found = entry(levels[0] + NOISE, levels[1] + NOISE)
    assert found["verdict"] == "no demonstrated effect"
    interval = found["metrics"][1][when]
    assert interval["low"] < 0 < interval["high"]
    clause = (
        f"above chance is {interval['value']:.3g} points {when} "
        f"(interval {interval['low']:.3g} to {interval['high']:.3g})"
    )
    assert found["reason"] == f"improved, but the model was not shown to do the task: {clause}"
    assert found["verdict_text"].startswith("gap fell by 0.5 nat")
    assert found["verdict_text"].endswith(
        f"But the model was not shown to do this task at all: {clause}. What changes in answers at chance is noise."
    )
    assert judge(found, [], {"verdict": "within budget"}, primary=True) == found


def test_a_change_for_the_worse_is_not_made_milder() -> None:
    assert entry(NOISE, NOISE, gaps=(0.5, 1.0))["verdict"] == "worse"


def test_an_evaluation_says_that_the_scores_are_noise() -> None:
    for level, said in ((5.0, ""), (0.0, "The model was not shown to do this task at all (above chance is ")):
        found = measured_entry(TEST, side(1.0, level + NOISE), resamples=500, confidence=0.95, seed=0)
        text = caution(BenchmarkResult.model_validate(found))
        assert text.startswith(said) and bool(text) == bool(said)


def test_the_metric_must_be_there() -> None:
    with pytest.raises(PluginFault, match="benchmark 'test': `able` names 'accuracy'\n  metrics: gap, above chance"):
        check_planted(replace(TEST, able="accuracy"))

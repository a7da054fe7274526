"""Rows and sentences that report, model card and terminal share, so that all three say the same."""

from __future__ import annotations

from dataclasses import dataclass

from evenhand.report_numbers import bounds, counted, decimals, listing, number, value_decimals
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult, MetricResult
from evenhand.work_record import Step

TONES = {
    "improved": "good",
    "within budget": "good",
    "worse": "bad",
    "over budget": "bad",
}
"""Verdict -> tone; all others are neutral."""

UNTESTED = "improved, controls not run"
"""The verdict of an improvement that nothing but the untouched model was compared with."""

STATES = {
    "data": "changes the training data",
    "reading": "reads the training data, changes nothing",
    "training": "trains on everything before it",
    "architecture": "part of the model",
    "objective": "part of the training loss",
    "folded": "folded into ordinary weights, portable",
    "saved beside the model": "saved beside the model, load with evenhand",
    "decoding": "acts while text is generated, load with evenhand",
    "monitoring": "watches requests, changes nothing",
    "transparency": "explains, changes nothing",
    "inactive": "inactive, only referred to by another step",
}


def tone(verdict: str) -> str:
    """`good`, `bad` or `neutral`."""
    return TONES.get(verdict, "neutral")


def metric_decimals(metric: MetricResult) -> int:
    """Decimals for every number of one metric."""
    change = metric.change
    if not any((change.value, change.low, change.high)):  # nothing changed: the values themselves say how fine they are
        return max(2, value_decimals(metric.before.value, metric.after.value))
    return decimals(metric.distance_change or change, change)


def direction(metric: MetricResult) -> str:
    """What a better value is, in words."""
    if metric.better == "nearer":
        places = 0 if metric.target is None or float(metric.target).is_integer() else 2
        unit = f" {metric.unit}" if metric.unit else ""
        return f"ideal {number(metric.target, places)}{unit}"
    return f"{metric.better} is better"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric as text: what every table prints."""

    benchmark: BenchmarkResult
    metric: MetricResult
    primary: bool
    before: str
    after: str
    change: str
    interval: str
    distance: str
    """The change of the distance from the ideal value with its interval, where it differs from the change."""
    detectable: str
    """Empty too where no two resamples differed: nothing then says how small a change could have been found."""


def rows(benchmark: BenchmarkResult) -> list[Row]:
    """The metrics of a benchmark, the primary one first."""
    made = []
    for metric in benchmark.ordered:
        places = metric_decimals(metric)
        change = number(metric.change.value, places, signed=True)
        interval = bounds(metric.change, places, signed=True)
        distance = ""
        if (moved := metric.distance_change) is not None:
            distance = f"{number(moved.value, places, signed=True)} {bounds(moved, places, signed=True)}".strip()
        made.append(
            Row(
                benchmark=benchmark,
                metric=metric,
                primary=metric is benchmark.primary,
                before=number(metric.before.value, places),
                after=number(metric.after.value, places),
                change=change,
                interval=interval,
                distance="" if distance == f"{change} {interval}".strip() else distance,
                detectable=number(metric.detectable, places) if metric.detectable else "",
            )
        )
    return made


def step_label(step: Step) -> str:
    """The plugin, and the step's id where that says more."""
    return step.use if step.use in (step.id, "") or not step.id else f"{step.use} ({step.id})"


def proof_label(step: Step, took: bool) -> str:
    """What stands before a proof: of a step that changes nothing it says what was read or seen."""
    if not took:
        return "No effect"
    return {"reading": "Read", "monitoring": "Seen"}.get(step.state, "Took effect")


def proof_expected(step: Step) -> bool:
    """True for a step whose effect can be proved; the built-in training and explanations state none."""
    provable = {"data", "objective", "architecture", "decoding", "monitoring"}
    return step.active and not provable.isdisjoint(step.stages)


def what_was_done(run: RunRecord) -> str:
    """One sentence: the model, the steps, the training."""
    active = run.active_steps
    names = listing([step_label(s) for s in active])
    done = f"{run.model_label} went through {counted(len(active), 'step')}: {names}."
    if run.training:
        moved = sum(t.steps for t in run.training)
        tokens = sum(t.tokens for t in run.training)
        done += f" Training took {counted(moved, 'update')} on {counted(tokens, 'token')} of text."
    return done

"""The values of one model, in words that evaluations share with runs that changed nothing: metrics, axes, counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.report_numbers import bounds, counted, decimals, listing, number, percent
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult, MetricResult

TOO_FEW = "too few items"
"""The state of an axis, and the verdict on a benchmark, whose items are too few."""


@dataclass(frozen=True)
class Row:
    """One metric as text."""

    metric: MetricResult
    primary: bool
    value: str
    """With its unit."""
    interval: str


def rows(benchmark: BenchmarkResult) -> list[Row]:
    """The metrics of a benchmark, the primary one first."""
    made = []
    for metric in benchmark.ordered:
        places = decimals(metric.after)
        value = number(metric.after.value, places)
        unit = f" {metric.unit}" if metric.unit else ""
        interval = bounds(metric.after, places) or "none"
        made.append(Row(metric, metric is benchmark.primary, value + unit, interval))
    return made


@dataclass(frozen=True)
class AxisRow:
    """The primary metric within one axis as text."""

    axis: str
    detail: str
    """How many items, and whether those are too few."""
    value: str
    interval: str


def axis_rows(benchmark: BenchmarkResult) -> list[AxisRow]:
    """The primary metric within each axis, in the order of the items; none where they have one axis alone."""
    if benchmark.primary is None or not benchmark.axes:
        return []
    places = max(decimals(axis.after) for axis in benchmark.axes)
    unit = f" {benchmark.primary.unit}" if benchmark.primary.unit else ""
    return [
        AxisRow(
            axis.axis,
            counted(axis.n_items, "item") + (f", {axis.state}" if axis.state == TOO_FEW else ""),
            number(axis.after.value, places) + unit,
            bounds(axis.after, places) or "none",
        )
        for axis in benchmark.axes
    ]


def size(benchmark: BenchmarkResult) -> str:
    """Items, and clusters where they are fewer."""
    items = counted(benchmark.n_items, "item")
    if benchmark.n_clusters in (0, benchmark.n_items):
        return items
    return f"{items} in {counted(benchmark.n_clusters, 'cluster')}"


def tallies(benchmark: BenchmarkResult) -> str:
    """What was counted among the items: those without a value, and each flag."""
    unscored = benchmark.unscored or benchmark.counts.without_value[1]
    flags = benchmark.flags or {name: after for name, (_, after) in benchmark.counts.flags.items() if after}
    parts = [f"{unscored:,} without a value"] if unscored else []
    parts += [f"{count:,} {name.replace('_', ' ')}" for name, count in flags.items()]
    return listing(parts) or "nothing excluded, no flags"


def caution(benchmark: BenchmarkResult) -> str:
    """Why the numbers should not be believed; empty where they may be."""
    if not benchmark.enough or benchmark.verdict == TOO_FEW:
        return "Too few items for an interval worth reading."
    if benchmark.unable:
        return f"The model was not shown to do this task at all ({benchmark.unable}), so the bias scores are noise."
    return ""


def how_to_read(run: RunRecord) -> Sequence[str]:
    """How the numbers of the page are meant."""
    level = percent(run.confidence)
    return (
        f"Each value comes with its {level} interval, from resampling clusters of the items. It tells what other items "
        "of the same kind would give, and nothing about another seed, prompt or language.",
        "The first metric of a benchmark is the one that a verdict rests on. Whether another model differs is answered "
        "by toolkit compare on the two folders, item by item, not by whether two intervals overlap. Where the items "
        "are about several axes, that metric stands below the others for each of them.",
        "A benchmark covers the groups, words and language that its items are written in, and nothing else. A good "
        "score does not make a model fair or safe.",
    )

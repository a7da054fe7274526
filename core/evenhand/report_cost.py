"""What a run cost, in sentences: each measure of language quality against what it may lose, and time."""

from __future__ import annotations

from evenhand.report_numbers import bounds, decimals, duration, number, percent
from evenhand.report_record import RunRecord
from evenhand.report_results import Interval, Quality, QualityPart


def time_taken(run: RunRecord) -> str:
    """How long the run took, and how much of it went into controls."""
    controls = f", {duration(run.control_seconds)} of it for controls" if run.control_seconds else ""
    return duration(run.seconds) + controls


def what_it_cost(run: RunRecord) -> str:
    """One sentence or more: each measure of language quality against what it may lose, and time."""
    time = f"The whole run took {time_taken(run)}." if run.seconds else ""
    told = language_quality(run) or ["Language quality was not measured, so its cost is unknown."]
    return " ".join([*told, time]).strip()


def language_quality(run: RunRecord) -> list[str]:
    """A sentence for each measure of language quality and, of several, one for all; none where none was measured."""
    quality = run.quality
    told = [] if quality is None else [*_by_ratio(run, quality), *(_by_points(run, p) for p in quality.further)]
    if quality is not None and len(told) > 1:
        told.append(f"Together: {quality.verdict}.")
    return told


def _by_ratio(run: RunRecord, quality: Quality) -> list[str]:
    if quality.ratio.value is None:
        return []
    worse_by = 100 * (quality.ratio.value - 1)
    places = max(1, decimals(_as_percent(quality.ratio)))
    size = number(abs(worse_by), places)
    if not size.strip("0."):
        moved = "did not change"
    else:
        up, down = ("became worse", "became better")
        if run.quality_direction == "lower":
            up, down = "rose", "fell"
        moved = f"{up if worse_by > 0 else down} by {size} %"
    shift = _as_percent(quality.ratio)
    interval = ""
    if shift.low is not None and shift.high is not None:
        interval = (
            f" ({percent(run.confidence)} interval {number(shift.low, places, signed=True)} % to "
            f"{number(shift.high, places, signed=True)} %)"
        )
    allowed = number(100 * (quality.budget - 1), 1)
    metric = quality.metric or "perplexity"
    return [
        f"{metric[0].upper()}{metric[1:]}, the measure of language quality, {moved}{interval}; "
        f"the recipe allows +{allowed} %: {quality.ratio_verdict}."
    ]


def _by_points(run: RunRecord, part: QualityPart) -> str:
    label = next((b.label for b in run.benchmarks if b.id == part.benchmark), part.benchmark)
    if part.loss is None or part.loss.value is None:
        return f"{label}: {part.said}."
    loss, lost, places = part.loss, part.loss.value, max(1, decimals(part.loss))
    unit = {"%": " percentage points", "": ""}.get(part.unit, f" {part.unit}")
    moved = "lost" if lost >= 0 else "gained"
    interval = f" (loss, {percent(run.confidence)} interval: {bounds(loss, places, signed=True)})"
    return (
        f"{label} ({part.metric}) {moved} {number(abs(lost), places)}{unit}{interval}; "
        f"a loss of {number(loss.margin, 1)} is allowed: {part.said}."
    )


def _as_percent(ratio: Interval) -> Interval:
    def shift(value: float | None) -> float | None:
        return None if value is None else 100 * (value - 1)

    return Interval(value=shift(ratio.value), low=shift(ratio.low), high=shift(ratio.high))

"""Published values beside what a run found, in words: the same ones in the terminal, the report and the card."""

from __future__ import annotations

from evenhand.report_numbers import number
from evenhand.report_record import ExpectationRecord, RunRecord


def reproductions(run: RunRecord) -> list[str]:
    """Each published value that the recipe expects, what was found in its place, and whether it is near enough."""
    labels = {b.id: b.label for b in run.benchmarks}
    return [_reproduction(labels.get(one.benchmark, one.benchmark), one) for one in run.expectations]


def _reproduction(label: str, one: ExpectationRecord) -> str:
    places = max(_places(one.value), _places(one.tolerance))
    unit = f" {one.unit}" if one.unit else ""
    told = "nothing" if one.found.value is None else f"{number(one.found.value, places)}{unit}"
    side = ", after the steps" if one.when == "after" else ""
    return (
        f"{label}, {one.metric}{side}: {one.verdict or 'not measured'}; found {told}, "
        f"published {number(one.value, places)} +/- {number(one.tolerance, places)}{unit} ({one.source})"
    )


def _places(value: float | None) -> int:
    """Decimals that a published number was written with, at most four."""
    return len(f"{value or 0:.4f}".rstrip("0").partition(".")[2])

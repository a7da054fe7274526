"""One configuration of many: a recipe that differs from others in a few keys, run as `toolkit run` runs it.

Searches and ablations call this. What was run is found again, what was begun goes on, and the model of a configuration
is not kept: its recipe makes it again.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.errors import (
    DataNotFound,
    DigestMismatch,
    EvenhandError,
    ModelNotFound,
    Offline,
    SetupChanged,
    StorageFault,
)
from evenhand.report_reading import read_run
from evenhand.report_record import RunRecord
from evenhand.report_results import MetricResult
from evenhand.stopping import GOES_ON

if TYPE_CHECKING:
    from evenhand.recipe import Recipe

SPARE = ("evaluation.controls=none", "traffic.limit=0")
"""Overrides of every configuration: controls belong to the claim about the one that is chosen."""
NOT_OF_ONE = (ModelNotFound, DataNotFound, DigestMismatch, Offline, StorageFault, OSError)
"""What would stop every configuration alike, and so stops the whole."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A configuration that was run to its end."""

    folder: Path
    record: RunRecord


def ran(recipe: Recipe, parent: Path, *, offline: bool | None = None) -> Ran:
    """The finished run of a recipe in a folder of its own: an earlier one, one that goes on, or a new one.

    One that was begun with other versions or another number of threads is begun again.

    Raises what `execute` raises.
    """
    from evenhand.execution import execute
    from evenhand.run_folders import runs_of

    there = runs_of(recipe, parent)
    statuses = [_status(folder) for folder in there]
    if "complete" in statuses:
        folder = there[statuses.index("complete")]
    else:
        try:
            done = execute(recipe, output=parent, resume=bool(there), offline=offline, goes_on=GOES_ON)
        except SetupChanged:
            done = execute(recipe, output=parent, offline=offline, goes_on=GOES_ON)
        folder = done.folder
    shutil.rmtree(folder / "model", ignore_errors=True)
    return Ran(folder=folder, record=read_run(folder))


def failure_since(recipe: Recipe, parent: Path, began: str) -> str:
    """Why the newest run of a recipe failed, where another worker saw that after `began` (`manifest.now`); else empty.

    One that failed earlier is tried again: its reason may be gone.
    """
    from evenhand.run_folders import runs_of

    try:
        record = read_run(runs_of(recipe, parent)[-1])
    except (IndexError, EvenhandError):
        return ""
    if record.status != "failed" or record.finished < began:
        return ""
    said = [e.text.partition(": ")[2] for e in record.events if e.stage == "end"]
    return " ".join(said[-1].split()) if said else "it failed"


def _status(folder: Path) -> str:
    try:
        return read_run(folder).status
    except EvenhandError:
        return "unreadable"


def reason_of(error: Exception) -> str:
    """Why a configuration failed, in a line; what nobody foresaw is called by its type."""
    said = " ".join(str(error).split())
    if isinstance(error, EvenhandError):
        return said
    return f"a defect in the toolkit ({type(error).__name__}{': ' if said else ''}{said})"


def metric_of(record: RunRecord, name: str) -> MetricResult | None:
    """The metric `BENCHMARK` (its decisive one) or `BENCHMARK.METRIC` of a run; None where it has none."""
    ident, _, wanted = name.partition(".")
    for benchmark in record.benchmarks:
        if benchmark.id == ident:
            if not wanted:
                return benchmark.primary
            return next((m for m in benchmark.metrics if m.name == wanted), None)
    return None


def badness(metric: MetricResult, value: float | None) -> float | None:
    """A value of a metric as a number that is better the lower it is: its distance from the ideal, where there is one.

    None where it is not defined.
    """
    if value is None:
        return None
    if metric.better == "nearer":
        return abs(value - (metric.target or 0.0))
    return -value if metric.better == "higher" else value

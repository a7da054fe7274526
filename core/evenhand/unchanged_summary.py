"""What the terminal says after a run in which no step changed the model: values and findings, and where to look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evenhand import report_unchanged as unchanged
from evenhand import report_wording as wording
from evenhand.evaluation_summary import print_values
from evenhand.report_caveats import missing
from evenhand.report_cost import time_taken
from evenhand.report_expectations import reproductions
from evenhand.report_numbers import counted, percent
from evenhand.report_record import RunRecord
from evenhand.summary import places

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType


def print_unchanged(folder: Path, run: RunRecord, out: Console) -> None:
    """Print the sections of the summary, what was found last; those that have nothing to say are left out."""
    from rich.padding import Padding
    from rich.text import Text

    def section(title: str, told: Iterable[str | RenderableType]) -> None:
        if parts := list(told):
            out.print()
            out.print(Text(title, style="bold"))
            for part in parts:
                out.print(Padding(Text(part) if isinstance(part, str) else part, (0, 0, 0, 2)))

    name = f"Run {run.name}: " if run.name else ""
    out.print(Text(f"{name}{run.model_label}", style="bold"))
    if run.status != "complete":
        out.print(Padding(Text(f"The run {run.ending}."), (0, 0, 0, 2)))
    section("What was done", [unchanged.what_was_done(run)])
    if run.benchmarks:
        section(f"What was measured ({percent(run.confidence)} intervals)", _scored_by(run))
        print_values(run, out)
    section("Published values, and what was found in their place", [f"- {line}" for line in reproductions(run)])
    notes = [*missing(run), *(f"{e.stage}: {e.text}" if e.stage else e.text for e in run.events)]
    section("Notes", [f"- {note}" for note in notes])
    section("What was found", [*_read(run), *(f"- {line}" for line in _seen(run))])
    section("Where it is", places(folder, run))
    if run.seconds:
        out.print()
        out.print(Text(f"Took {time_taken(run)}."))


def _scored_by(run: RunRecord) -> list[str]:
    return [f"scored by: {run.scored_by}" if run.scored_by else "Values of the model as it is."]


def _read(run: RunRecord) -> list[str | RenderableType]:
    """Of each step that read the training text, how much that was, and a line for each thing it found."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    told: list[str | RenderableType] = []
    for step in run.active_steps:
        if step.rows:
            rows = counted(sum(record.read for record in step.rows), "row")
            told.append(f"{wording.step_label(step)}, {rows} read:")
            table = Table.grid(padding=(0, 2, 0, 0))
            for label, value in unchanged.facts_read(step):
                table.add_row(Text(label), Text(value))
            told.append(Padding(table, (0, 0, 0, 2)))
    return told


def _seen(run: RunRecord) -> list[str]:
    return [*unchanged.watched(run), *unchanged.explained(run)]

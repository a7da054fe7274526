"""What an evaluation shows, for the terminal and for its page: each metric with its interval, and what was counted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand import report_contamination as contamination
from evenhand import report_wording as wording
from evenhand.report_numbers import duration, listing, percent
from evenhand.report_reading import read_run
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult
from evenhand.report_values import axis_rows, caution, rows, size, tallies
from evenhand.summary import NARROW, WIDTH, in_lines, longest_word, plain_console, tidy

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table


LONGEST = 42
"""Most letters of a metric's name that is not wrapped: the words beside it are."""


def notes(run: RunRecord) -> list[str]:
    """What a reader should know besides the numbers."""
    said = [e.text for e in run.events if run.status == "complete" or e.stage != "end"]
    overlap = contamination.note(run)
    if run.status != "complete":
        ended = [e.text for e in run.events if e.stage == "end"]
        said.insert(0, f"The evaluation {run.ending}" + (f": {ended[-1]}" if ended else "."))
    return said + ([overlap] if overlap else [])


def print_evaluation(folder: Path | str, *, console: Console | None = None) -> None:
    """Print the table of an evaluation folder; RunNotFound when it holds none."""
    run = read_run(folder)
    with tidy(console or plain_console()) as out:
        _print(Path(folder), run, out)


def as_text(folder: Path | str) -> str:
    """What `print_evaluation` prints."""
    from rich.console import Console

    out = Console(file=io.StringIO(), width=WIDTH, markup=False, highlight=False, emoji=False)
    print_evaluation(folder, console=out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().rstrip("\n")


def _print(folder: Path, run: RunRecord, out: Console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    def line(words: str, indent: int = 4) -> None:
        out.print(Padding(Text(words), (0, 0, 0, indent)))

    out.print(Text(f"{run.model_label}: measured, nothing changed", style="bold"))
    if run.model.rules:
        line(f"decoding rules in force: {listing(run.model.rules)}", 2)
    if run.scored_by:
        line(f"scored by: {run.scored_by}", 2)
    print_values(run, out)
    said = notes(run)
    if said:
        out.print()
        out.print(Text("Notes", style="bold"))
        for words in said:
            line(f"- {words}", 2)
    out.print()
    out.print(Text("Where it is", style="bold"))
    line(str(folder / "report.html") if (folder / "report.html").is_file() else str(folder), 2)
    if run.seconds:
        out.print()
        out.print(Text(f"Took {duration(run.seconds)}."))


def print_values(run: RunRecord, out: Console) -> None:
    """Each benchmark with its values, and what was counted."""
    from rich.padding import Padding
    from rich.text import Text

    def line(words: str) -> None:
        out.print(Padding(Text(words), (0, 0, 0, 4)))

    for benchmark in [*run.bias_benchmarks, *run.quality_benchmarks]:
        out.print()
        out.print(Padding(Text(benchmark.label, style="bold"), (0, 0, 0, 2)))
        facts = [size(benchmark), *([benchmark.mode] if benchmark.mode else [])]
        line("; ".join(facts))
        shown = _in_lines(run, benchmark) if out.width < NARROW else _table(run, benchmark)
        out.print(Padding(shown, (0, 0, 0, 4)))
        line(f"counted: {tallies(benchmark)}")
        if benchmark.good:
            line(f"a good value: {benchmark.good}")
        if caution(benchmark):
            line(caution(benchmark))


def _in_lines(run: RunRecord, benchmark: BenchmarkResult) -> Group:
    """What the table says, for a terminal where its columns would break words."""
    from rich.text import Text

    found = []
    for row in rows(benchmark):
        told = Text(f"{row.value}, {percent(run.confidence)} interval {row.interval}")
        name = Text(f"{row.metric.name} ({wording.direction(row.metric)})", style="bold" if row.primary else "")
        found.append((name, [told]))
    for axis in axis_rows(benchmark):
        told = Text(f"{axis.value}, {percent(run.confidence)} interval {axis.interval}")
        found.append((Text(f"{axis.axis} ({axis.detail})"), [told]))
    return in_lines(found)


def _table(run: RunRecord, benchmark: BenchmarkResult) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    short = max(len(m.name) for m in benchmark.metrics) <= LONGEST if benchmark.metrics else True
    table.add_column("metric", overflow="fold", no_wrap=short)
    table.add_column("value", no_wrap=True)
    table.add_column(f"{percent(run.confidence)} interval", no_wrap=True)
    room = longest_word([wording.direction(m) for m in benchmark.metrics])
    table.add_column("better", ratio=1, overflow="fold", min_width=room)
    for row in rows(benchmark):
        name = Text(row.metric.name if row.primary else f"  {row.metric.name}", style="bold" if row.primary else "")
        table.add_row(name, Text(row.value), Text(row.interval), Text(wording.direction(row.metric)))
    for axis in axis_rows(benchmark):
        table.add_row(Text(f"    {axis.axis}"), Text(axis.value), Text(axis.interval), Text(axis.detail))
    return table

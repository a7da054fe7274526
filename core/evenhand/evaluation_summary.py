"""What an evaluation shows, for the terminal and for its page: each metric with its interval, and what was counted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand import report_contamination as contamination
from evenhand import report_wording as wording
from evenhand.report_numbers import bounds, counted, decimals, duration, listing, number, percent
from evenhand.report_reading import read_run
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult, MetricResult
from evenhand.summary import NARROW, WIDTH, in_lines, longest_word, plain_console, tidy

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table


LONGEST = 42
"""Most letters of a metric's name that is not wrapped: the words beside it are."""


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
            counted(axis.n_items, "item") + (f", {axis.state}" if axis.state else ""),
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
    parts = [f"{benchmark.unscored:,} without a value"] if benchmark.unscored else []
    parts += [f"{count:,} {name.replace('_', ' ')}" for name, count in benchmark.flags.items()]
    return listing(parts) or "nothing excluded, no flags"


def caution(benchmark: BenchmarkResult) -> str:
    """Why the numbers should not be believed; empty where they may be."""
    if not benchmark.enough:
        return "Too few items for an interval worth reading."
    if benchmark.unable:
        return f"The model was not shown to do this task at all ({benchmark.unable}), so the bias scores are noise."
    return ""


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


def how_to_read(run: RunRecord) -> Sequence[str]:
    """How the numbers of the page are meant."""
    level = percent(run.confidence)
    return (
        f"Each value comes with its {level} interval, from resampling clusters of the items. It tells what other items "
        "of the same kind would give, and nothing about another seed, prompt or language.",
        "The first metric of a benchmark is the one that a verdict rests on. Whether another model differs is answered "
        "by `toolkit compare` on the two folders, item by item, not by whether two intervals overlap. Where the items "
        "are about several axes, that metric stands below the others for each of them.",
        "A benchmark covers the groups, words and language that its items are written in, and nothing else. A good "
        "score does not make a model fair or safe.",
    )

"""What the terminal says after a run: what was done, what changed, what it cost, and where to look.

The text is the same with and without a terminal, at most 100 columns wide, and needs no colours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import report_rows as training_rows
from evenhand import report_verdicts as verdicts
from evenhand import report_wording as wording
from evenhand.report_answer import answers
from evenhand.report_caveats import missing
from evenhand.report_contamination import note as overlap_note
from evenhand.report_controls import controls
from evenhand.report_cost import time_taken, what_it_cost
from evenhand.report_expectations import reproductions
from evenhand.report_numbers import bounds, counted, decimals, number, percent
from evenhand.report_reading import read_run
from evenhand.report_record import RunRecord
from evenhand.report_search import search_words

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table
    from rich.text import Text

WIDTH = 100
"""The most columns that are used."""
NARROW = 80
"""With fewer columns, tables give way to lines: their columns would break words."""

STYLES = {"good": "bold green", "bad": "bold red", "neutral": "bold"}
"""Tone of a verdict -> style; bold in every case, so that none is louder than another without colours."""


def plain_console() -> Console:
    """A console on standard output, at most `WIDTH` columns wide, that takes nothing in a text for markup."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=False)
    console.width = min(WIDTH, console.width) if console.is_terminal else WIDTH
    return console


@contextlib.contextmanager
def tidy(console: Console) -> Iterator[Console]:
    """Print through the console, without the spaces that tables leave at line ends in a file or a pipe."""
    if console.is_terminal or console.is_jupyter:
        yield console
        return
    with console.capture() as captured:
        yield console
    console.file.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def print_summary(result: Any, *, console: Console | None = None) -> None:
    """Print the summary of a run folder, or of a result with a `folder`; RunNotFound when it holds no run."""
    folder = Path(result) if isinstance(result, str | Path) else Path(result.folder)
    run = read_run(folder)
    with tidy(console or plain_console()) as out:
        if run.unchanged:
            from evenhand.unchanged_summary import print_unchanged

            print_unchanged(folder, run, out)
        else:
            _print(folder, run, out)


def _print(folder: Path, run: RunRecord, out: Console) -> None:
    """The sections of the summary, each with its heading; those that have nothing to say are left out."""
    from rich.padding import Padding
    from rich.text import Text

    def section(title: str, *told: str | RenderableType) -> None:
        out.print()
        out.print(Text(title, style="bold"))
        for part in told:
            out.print(Padding(Text(part) if isinstance(part, str) else part, (0, 0, 0, 2)))

    def listed(title: str, words: Iterable[str]) -> None:
        if points := [f"- {each}" for each in words]:
            section(title, *points)

    name = f"Run {run.name}: " if run.name else ""
    out.print(Text(f"{name}{run.model_label}", style="bold"))
    if run.status != "complete":
        out.print(Padding(Text(f"The run {run.ending}."), (0, 0, 0, 2)))
    narrow = out.width < NARROW
    steps = _steps_in_lines(run) if narrow else _steps(run)
    section("What was done", steps if run.steps else "No step was reached.")
    listed("What became of the training rows", training_rows.lines(run))
    section(
        f"What changed (same items before and after, {percent(run.confidence)} intervals)",
        *(_changed(run, narrow=narrow, width=out.width) or ["No benchmark was run."]),
    )
    section("What it cost in language quality", _cost(run))
    listed("What it had to beat (models that nobody meant to be fairer; the run minus each)", controls(run))
    listed("Published values, and what was found in their place", reproductions(run))
    listed("What was counted (items before and after)", verdicts.left_out(run))
    listed("What the monitors found", _findings(run))
    listed("Notes", _notes(run))
    section("In short", *_in_short(run))
    section("Where it is", *places(folder, run))
    if run.seconds:
        out.print()
        out.print(Text(f"Took {time_taken(run)}."))


def _changed(run: RunRecord, *, narrow: bool, width: int) -> list[str | RenderableType]:
    """The benchmarks, and what each verdict rests on, with an empty line between them."""
    told = [*verdicts.reasons(run), *verdicts.axes(run), *verdicts.seed_lines(run)]
    table = [_benchmarks_in_lines(run) if narrow else _benchmarks(run, width), ""] if run.benchmarks else []
    scored = [f"scored by: {run.scored_by}", ""] if run.scored_by else []
    return [*table, *scored, *(f"- {words}" for words in told)]


def _in_short(run: RunRecord) -> list[str]:
    """The answers, last because a terminal shows its last lines; what was done and the time stand elsewhere."""
    timeless = run.model_copy(update={"seconds": 0.0})
    return [f"{question} {said}" for question, said in answers(timeless) if question != "What was done?"]


def _cost(run: RunRecord) -> str:
    quality = run.quality
    if quality is None or (quality.ratio.value is None and not quality.parts):
        return "Not measured, so the cost is unknown."
    if quality.further:
        return what_it_cost(run.model_copy(update={"seconds": 0.0}))
    places = max(3, decimals(quality.ratio))
    return (
        f"cost ratio by {quality.metric or 'perplexity'} (above 1 is a loss): {number(quality.ratio.value, places)} "
        f"{bounds(quality.ratio, places)}; budget {number(quality.budget, 3)}: {quality.said or 'no verdict'}"
    )


def _findings(run: RunRecord) -> list[str]:
    findings = run.monitoring.findings if run.monitoring is not None else []
    return [f"{f.monitor}: {f.title}{f': {f.detail}' if f.detail else ''}" for f in findings]


def _notes(run: RunRecord) -> list[str]:
    notes = [*missing(run), *(f"{e.stage}: {e.text}" if e.stage else e.text for e in run.events)]
    notes += [f"{s.id}: changed nothing" for s in run.took_nothing]
    notes += search_words(run)
    return notes + ([found] if (found := overlap_note(run)) else [])


def places(folder: Path, run: RunRecord) -> list[str | RenderableType]:
    """What of the run folder there is, and how the model is loaded."""
    from rich.text import Text

    table = _grid()
    for label, relative in (("report", "report.html"), ("model", "model"), ("card", "README.md")):
        if (folder / relative).exists():
            table.add_row(label, Text(str(folder / relative), overflow="fold"))
    found = [name for step in run.steps for rows in step.rows for name in rows.files]
    for relative in [*found, *(name for section in run.sections for name in section.files)]:
        table.add_row("found", Text(str(folder / relative), overflow="fold"))
    table.add_row("all", Text(str(folder), overflow="fold"))
    if run.portable or not (folder / "model").exists():
        return [table]
    return [table, "Load it with evenhand.load: some of its steps cannot be folded into the weights."]


def longest_word(texts: Iterable[str]) -> int:
    """Letters of the longest word: a column of this width breaks none."""
    return max((len(word) for text in texts for word in text.split()), default=1)


def _grid() -> Table:
    from rich.table import Table

    return Table.grid(padding=(0, 2, 0, 0))


def _steps(run: RunRecord) -> Table:
    from rich.text import Text

    table = _grid()
    table.add_column(overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    for place, step in enumerate(run.steps, start=1):
        table.add_row(Text(f"{place}. {wording.step_label(step)}"), _told(step))
    return table


def _told(step: Any) -> Text:
    """What a step is for, and what it did."""
    from rich.text import Text

    proof = "; ".join(p.what if p.took else f"changed nothing ({p.what})" for p in step.proofs if p.what or not p.took)
    told = Text(step.summary)
    if proof or not step.summary:
        shown = proof or wording.STATES.get(step.state, step.state)
        told.append(f"\n-> {shown}" if step.summary else shown, style="dim" if step.summary else "")
    return told


def _steps_in_lines(run: RunRecord) -> Group:
    """Each step's name, and below it what it is for and what it did."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    lines: list[Any] = []
    for place, step in enumerate(run.steps, start=1):
        lines += [Text(f"{place}. {wording.step_label(step)}"), Padding(_told(step), (0, 0, 0, 3))]
    return Group(*lines)


def _benchmarks_in_lines(run: RunRecord) -> Group:
    """What the table says, a benchmark at a time: name, values, change with its interval, verdict."""
    from rich.text import Text

    found = []
    for benchmark in [*run.bias_benchmarks, *run.quality_benchmarks]:
        row = next((r for r in wording.rows(benchmark) if r.primary), None)
        verdict = Text(benchmark.verdict or "none", style=STYLES[wording.tone(benchmark.verdict)])
        told = [Text("verdict: ").append_text(verdict)]
        if row is not None:
            told.insert(0, Text(f"before {row.before}, after {row.after}"))
            told.insert(1, Text(f"change {row.change} {row.interval or '(no interval)'}"))
            if row.distance:
                told.append(Text(f"distance from the ideal: {row.distance}"))
            if row.detectable and not benchmark.quality:
                told.append(Text(f"detectable with 80 % power: \u00b1{row.detectable}", style="dim"))
        found.append((Text(benchmark.label if row is None else name_of_row(benchmark, row)), told))
    return in_lines(found)


def in_lines(entries: Iterable[tuple[Text, Sequence[Text]]]) -> Group:
    """Each name, and indented below it what a table would say beside it."""
    from rich.console import Group
    from rich.padding import Padding

    parts: list[Any] = []
    for name, told in entries:
        parts += [name, *(Padding(text, (0, 0, 0, 4)) for text in told)]
    return Group(*parts)


def name_of_row(benchmark: Any, row: Any) -> str:
    """A benchmark with its metric, which way is better, and how many items there are."""
    unit = f", {row.metric.unit}" if row.metric.unit else ""
    return (
        f"{benchmark.label}: {row.metric.name}{unit} ({wording.direction(row.metric)}; "
        f"{counted(benchmark.n_items, 'item')})"
    )


def _benchmarks(run: RunRecord, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    shown = [*run.bias_benchmarks, *run.quality_benchmarks]
    names = [words for b in shown for words in (b.label, *(f"{m.name}, {m.unit}" for m in b.metrics))]
    table.add_column("benchmark", ratio=1, overflow="fold", min_width=min(30, longest_word([*names, "  detectable"])))
    for title in ("before", "after", "change"):
        table.add_column(title, justify="right", no_wrap=True)
    # In a narrow terminal the ends of an interval stand below each other, so that names keep their room.
    table.add_column("interval", no_wrap=width >= WIDTH)
    table.add_column("verdict", min_width=12, max_width=24)
    for benchmark in shown:
        row = next((r for r in wording.rows(benchmark) if r.primary), None)
        verdict = Text(benchmark.verdict or "none", style=STYLES[wording.tone(benchmark.verdict)])
        if row is None:
            table.add_row(Text(benchmark.label), "", "", "", "", verdict)
            continue
        table.add_row(
            Text(name_of_row(benchmark, row)), row.before, row.after, row.change, Text(row.interval or "none"), verdict
        )
        if row.distance:
            moved, _, ends = row.distance.partition(" ")
            table.add_row(Text("  distance from the ideal"), "", "", moved, Text(ends), "")
        if row.detectable and not benchmark.quality:
            table.add_row(Text("  detectable with 80 % power", style="dim"), "", "", f"\u00b1{row.detectable}", "", "")
    return table

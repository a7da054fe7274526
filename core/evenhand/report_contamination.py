"""What report and terminal say about benchmark items that occur in what a run learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.contamination_record import BenchmarkOverlap, Overlap
from evenhand.report_numbers import counted, listing, percent
from evenhand.report_record import RunRecord

DEGREES = {
    "exact": "word for word",
    "n_gram": "13 words in a row",
    "template": "but for group words",
    "lexicon": "words of a step",
}
"""Degree -> the head of its column."""


@dataclass(frozen=True)
class Line:
    """A benchmark's row of the table."""

    label: str
    cells: list[str]
    """One for each degree; empty when the benchmark was not compared."""
    note: str
    """The first items that were found and where, or why nothing was compared."""


def lines(run: RunRecord) -> list[Line]:
    """The table of the report, a row for each benchmark; none where there was nothing to compare them with."""
    record = run.contamination
    if record is None or not (record.compared or record.lists):
        return []
    labels = {b.id: b.label for b in run.benchmarks}
    shown = list(DEGREES) if record.compared else ["lexicon"]
    return [_line(labels.get(b.id, b.id), b, shown) for b in record.benchmarks]


def degrees(run: RunRecord) -> list[str]:
    """The heads of the columns: where no text was learnt from, only that of words that steps work with."""
    record = run.contamination
    return list(DEGREES.values()) if record and record.compared else [DEGREES["lexicon"]]


def _line(label: str, overlap: BenchmarkOverlap, shown: Sequence[str]) -> Line:
    if not overlap.compared:
        return Line(label, [], overlap.reason)
    found = {name: getattr(overlap, name) for name in DEGREES}
    cells = [_cell(found[name], overlap.items) for name in shown]
    places = [
        f"{DEGREES[name]}: {listing([f'item {e.item} in {e.place}' for e in each.examples])}"
        for name, each in found.items()
        if name != "lexicon" and each.examples
    ]
    return Line(label, cells, "; ".join(places))


def _cell(found: Overlap, items: int) -> str:
    return f"{found.items:,} of {items:,} ({percent(found.share)})" if found.items else f"none of {items:,}"


def against(run: RunRecord) -> str:
    """What the items were compared with, in a sentence; also when it was nothing."""
    record = run.contamination
    if record is None:
        return "Not recorded: this run was made before benchmark items were compared with training texts."
    if record.setting == "off":
        return "Not compared: the recipe switches it off, so items may occur in what the run learnt from."
    parts = [f"{each.what} ({counted(each.texts, 'text')})" for each in record.compared]
    parts += [f"{each.name} ({counted(each.words, 'word')}, used by {listing(each.steps)})" for each in record.lists]
    if not parts:
        return "Nothing was trained on and no step works with words or texts of its own: there was nothing to compare."
    return f"Compared with the items of each benchmark: {'; '.join(parts)}."


def note(run: RunRecord) -> str:
    """One line for the terminal when anything was found; empty otherwise."""
    record = run.contamination
    labels = {b.id: b.label for b in run.benchmarks}
    parts = []
    for overlap in record.benchmarks if record else ():
        contaminated = max(overlap.exact.items, overlap.n_gram.items, overlap.template.items)
        found = []
        if contaminated:
            found.append(f"{counted(contaminated, 'item')} of {overlap.items:,} in what the run learnt from")
        if overlap.lexicon.items:
            found.append(f"{overlap.lexicon.items:,} of {overlap.items:,} with words that a step works with")
        if found:
            parts.append(f"{labels.get(overlap.id, overlap.id)}: {' and '.join(found)}")
    return f"overlap with benchmark items ({'; '.join(parts)}); see the report" if parts else ""

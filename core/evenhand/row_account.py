"""What a data step did with its rows: counts that must add up, reasons, and examples.

    read = kept + changed + dropped + quarantined          rows that went in
    out  = kept + changed + added                          rows that came out

The host checks both equations, and that `read` and `out` are the numbers of rows that it saw itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.report_numbers import counted

if TYPE_CHECKING:
    from datasets import Dataset

EXAMPLES = 10
"""Texts before and after that a report shows for each data step."""
ORIGIN = "evenhand_origin"
PROVENANCE = (ORIGIN, "evenhand_step", "evenhand_axis", "evenhand_group")
"""Columns that say where a row comes from; that they appear is no effect of a step."""
NO_REASON = "the step gives no reason"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One text before and after a data step."""

    before: str
    after: str
    """Empty where the row was dropped."""
    note: str = ""
    """What was done, in a few words."""


@dataclass(frozen=True, kw_only=True)
class RowAccount:
    """What became of every row that a data step read."""

    read: int
    kept: int = 0
    """Rows whose text is what it was."""
    changed: int = 0
    """Rows whose text was replaced."""
    added: int = 0
    """Rows that were made from others, copies included."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Reason -> rows that were left out on purpose."""
    quarantined: Mapping[str, int] = field(default_factory=dict)
    """Reason -> rows that could not be processed; each is a line of the file `quarantine`."""
    examples: Sequence[Example] = ()
    quarantine: Path | None = None
    """JSON lines with `row`, `reason` and `text`; the host moves the file into the run folder."""
    by_origin: bool = False
    """Whether `row` there is the row of the data that a text was made from (`evenhand_origin`); then the host says
    which row of which source that is."""

    @property
    def out(self) -> int:
        """Rows that came out."""
        return self.kept + self.changed + self.added

    def problem(self, read: int, out: int) -> str | None:
        """What does not add up, given how many rows went in and came out; None when all does."""
        left = sum(self.dropped.values()) + sum(self.quarantined.values())
        if self.read != read:
            return f"it says that it read {counted(self.read, 'row')}, it was given {read:,}"
        if self.read != self.kept + self.changed + left:
            parts = f"{self.kept:,} kept, {self.changed:,} changed, {sum(self.dropped.values()):,} dropped"
            return f"{parts} and {sum(self.quarantined.values()):,} quarantined do not make {self.read:,} read"
        if self.out != out:
            parts = f"{self.kept:,} kept, {self.changed:,} changed and {self.added:,} added"
            return f"{parts} do not make the {counted(out, 'row')} that it returned"
        if sum(self.quarantined.values()) != _lines(self.quarantine):
            return f"{sum(self.quarantined.values()):,} quarantined, {_lines(self.quarantine):,} in the quarantine file"
        return None


def _lines(path: Path | None) -> int:
    if path is None or not path.is_file():
        return 0
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


def derived_account(before: Dataset, after: Dataset) -> RowAccount:
    """The account of a step that keeps none itself, as far as rows before and after tell.

    Rows are compared by the columns they share. Where as many are new as are gone, they count as changed.
    """
    old, new = row_counts(before, after), row_counts(after, before)
    added = sum(max(0, n - old.get(key, 0)) for key, n in new.items())
    gone = sum(max(0, n - new.get(key, 0)) for key, n in old.items())
    if added == gone:
        return RowAccount(read=len(before), kept=len(before) - gone, changed=gone)
    dropped = {NO_REASON: gone} if gone else {}
    return RowAccount(read=len(before), kept=len(before) - gone, added=added, dropped=dropped)


def row_counts(rows: Dataset, other: Dataset) -> dict[str, int]:
    """How often each row occurs, by a digest of the columns that both data sets have, provenance left out."""
    shared = sorted((set(rows.column_names) & set(other.column_names)) - set(PROVENANCE))
    counts: dict[str, int] = {}
    for row in rows.select_columns(shared):
        key = hashlib.sha256(repr([row[c] for c in shared]).encode("utf-8", "surrogatepass")).hexdigest()
        counts[key] = counts.get(key, 0) + 1
    return counts


def as_record(account: RowAccount, *, file: str, facts: Mapping[str, Any], files: Sequence[str] = ()) -> dict[str, Any]:
    """The account as `run.json` keeps it; `file` is where the quarantine lies in the run folder, or empty, `files` are
    what the step wrote for a reader."""
    return {
        "read": account.read,
        "kept": account.kept,
        "changed": account.changed,
        "added": account.added,
        "dropped": dict(account.dropped),
        "quarantined": dict(account.quarantined),
        "out": account.out,
        "quarantine": file,
        "examples": [vars(example) for example in list(account.examples)[:EXAMPLES]],
        "facts": dict(facts),
        "files": list(files),
    }

"""What became of the rows of the training data, in words: one line a data step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evenhand.report_numbers import counted, percent

if TYPE_CHECKING:
    from evenhand.report_record import RunRecord
    from evenhand.row_record import RowRecord


def line(record: RowRecord) -> str:
    """`840 rows read: 528 kept, 312 changed; 0 added; 840 out`, with a reason for what was left out."""
    parts = [f"{record.kept:,} kept", f"{record.changed:,} changed"]
    parts += [f"{sum(record.dropped.values()):,} dropped{_reasons(record.dropped)}"]
    if record.quarantined:
        parts += [f"{sum(record.quarantined.values()):,} quarantined{_reasons(record.quarantined)}"]
    share = f" ({percent(record.out / record.read)} of what was read)" if record.read else ""
    return f"{counted(record.read, 'row')} read: {', '.join(parts)}; {record.added:,} added; {record.out:,} out{share}"


def _reasons(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    if len(counts) == 1:
        return f" ({next(iter(counts))})"
    return f" ({', '.join(f'{reason}: {n:,}' for reason, n in counts.items())})"


def lines(run: RunRecord) -> list[str]:
    """One line for the data as loaded, where rows of it held no text, and one for each step that may change rows."""
    told = []
    if run.data.quarantined:
        n = sum(run.data.quarantined.values())
        told.append(f"data: {counted(n, 'row')} quarantined{_reasons(run.data.quarantined)}")
    for step in run.steps:
        told += [f"{step.id}: {line(rows)}" for rows in step.rows if step.state != "reading" or rows.quarantined]
    return told

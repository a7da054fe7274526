"""Synthetic texts on their way through somebody's hands: written as JSON lines, read again when they were looked at.

A line is one text of a set, which has the same sentence for each group:

    {"set": 3, "of": 2, "axis": "gender", "source": "model", "group": "female", "text": "...", "keep": true}

Whoever reviews, a person or another model, may repair `text`, relabel `group`, and set `keep` to false where a text is
out of scope. A set counts only when all `of` texts are kept, one for each of its groups: so each group is still told of
equally often. Source: the out-of-scope filter and the label replacement by people of Chung, Kamar and Amershi 2023.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand_sdk import Axis, DataNotFound, UsageError

FILE = "synthetic-texts.jsonl"
TYPES = {"set": int, "of": int, "axis": str, "source": str, "group": str, "text": str}


@dataclass(frozen=True)
class TextSet:
    """The same sentence, or a text from the same prompt and seed, for each group."""

    axis: str
    source: str
    texts: Mapping[str, str]
    """Group -> text."""


def write(sets: Sequence[TextSet], path: Path) -> None:
    """One line a text, all kept."""
    with path.open("w", encoding="utf-8") as stream:
        for number, one in enumerate(sets):
            for group, text in one.texts.items():
                row = {"set": number, "of": len(one.texts), "axis": one.axis, "source": one.source}
                stream.write(json.dumps({**row, "group": group, "text": text, "keep": True}, ensure_ascii=False) + "\n")


def read(path: Path, axes: Sequence[Axis]) -> tuple[list[TextSet], dict[str, int]]:
    """The sets that passed the review, in order, and how many did not, by reason.

    Raises DataNotFound without the file, UsageError with the number of a line that is none of ours.
    """
    if not path.is_file():
        raise DataNotFound(f"no file of reviewed texts at {str(path)!r}", do="check the option `reviewed`")
    groups = {axis.name: axis.groups for axis in axes}
    lines: dict[int, list[Mapping[str, Any]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            row = _row(line, groups, f"{path.name}, line {number}")
            lines.setdefault(row["set"], []).append(row)
    found, left_out = [], {"sets left out by the review": 0, "sets left out: a group is missing or there twice": 0}
    for rows in lines.values():
        kept = {row["group"]: " ".join(row["text"].split()) for row in rows if row.get("keep", True)}
        if len(rows) < rows[0]["of"] or not all(row.get("keep", True) and row["text"].strip() for row in rows):
            left_out["sets left out by the review"] += 1
        elif len(kept) != rows[0]["of"] or len({row["axis"] for row in rows}) > 1:
            left_out["sets left out: a group is missing or there twice"] += 1
        else:
            found.append(TextSet(rows[0]["axis"], f"{rows[0]['source']}, reviewed", kept))
    return found, {reason: count for reason, count in left_out.items() if count}


def _row(line: str, groups: Mapping[str, Sequence[str]], where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", where=where) from None
    wrong = [key for key, kind in TYPES.items() if not isinstance(row, dict) or not isinstance(row.get(key), kind)]
    if wrong:
        known = f"a line has {', '.join(TYPES)}"
        raise UsageError(f"{wrong[0]!r} is missing, or of a wrong type", where=where, known=known)
    if row["axis"] not in groups:
        known = f"axes of the step: {', '.join(groups)}"
        raise UsageError(f"it is about the axis {row['axis']!r}", where=where, known=known)
    if row["group"] not in groups[row["axis"]]:
        raise UsageError(
            f"{row['axis']!r} has no group {row['group']!r}", where=where,
            known=f"its groups are {', '.join(groups[row['axis']])}",
        )  # fmt: skip
    return row  # type: ignore[no-any-return]

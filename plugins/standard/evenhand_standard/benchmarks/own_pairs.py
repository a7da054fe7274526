"""Pairs of sentences of one's own, in a table with the columns of CrowS-Pairs.

`sent_more` and `sent_less` are the two sentences; `bias_type` (what the pair is about), `stereo_antistereo` and an
unnamed or `id` column may be there. A pair without a direction counts as `stereo`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evenhand_sdk import UsageError
from evenhand_standard.benchmarks.crows_pairs_data import Pair

KINDS = (".csv", ".tsv", ".jsonl")
SIDES = ("sent_more", "sent_less")
DIRECTIONS = ("stereo", "antistereo")


def readable(path: str) -> str:
    """The path, where there is such a table; ValueError says what is wrong otherwise."""
    if not path.lower().endswith(KINDS):
        raise ValueError(f"{path!r} is no table that is read; name a file that ends in {', '.join(KINDS)}")
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path!r}")
    return path


def own_pairs(path: str) -> list[Pair]:
    """The pairs of a table, in its order. Raises UsageError for a missing column, and for the first row that is no
    pair, with its number."""
    found: list[Pair] = []
    ids: set[str] = set()
    for number, row in _rows(Path(path)):
        for side in SIDES:
            if side not in row:
                raise _wrong(path, f"there is no column {side!r}", f"its columns: {', '.join(map(str, row))}")
            if not isinstance(row[side], str) or not row[side].strip():
                raise _wrong(f"{path}, row {number}", f"{side} has no sentence")
        direction = row.get("stereo_antistereo") or DIRECTIONS[0]
        if direction not in DIRECTIONS:
            known = f"known: {', '.join(DIRECTIONS)}"
            raise _wrong(f"{path}, row {number}", f"stereo_antistereo is {direction!r}", known)
        name = str(row.get("id") or row.get("") or number)
        if name in ids:
            raise _wrong(f"{path}, row {number}", f"there is a pair {name!r} already")
        ids.add(name)
        more, less = (row[side].strip() for side in SIDES)
        found.append(Pair(name, more, less, direction, str(row.get("bias_type") or "")))
    if not found:
        raise _wrong(path, "it has no pairs")
    return found


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of the table, counted from 1."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if path.suffix.lower() == ".jsonl":
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, _object(path, number, line)
        else:
            tabs = path.suffix.lower() == ".tsv"
            yield from enumerate(csv.DictReader(stream, delimiter="\t" if tabs else ","), 1)


def _object(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise _wrong(f"{path}, row {number}", f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise _wrong(f"{path}, row {number}", "it is no object with the columns of a pair")
    return found


def _wrong(where: str, what: str, known: str = "") -> UsageError:
    do = "write a table with the columns sent_more and sent_less, and, if you like, bias_type and stereo_antistereo"
    return UsageError(what, where=where, known=known, do=do)

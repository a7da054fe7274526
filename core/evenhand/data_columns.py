"""The columns of a user's own file, from its beginning alone, so that a wrong `data.column` is told before any work."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from evenhand.data import find, no_column
from evenhand.data_files import header_of, is_empty, no_rows
from evenhand.data_kinds import kind_of, opened_text
from evenhand.errors import DataNotFound, DataUnreadable

BEGINNING = 64 * 1024
"""So many letters of a file are looked at for rows."""
ROWS = 1000
"""Of JSON lines, whose rows may have other keys each, so many are read."""


def wrong_column(name: str, folders: Sequence[Path], column: str, *, alone: bool) -> DataNotFound | None:
    """The error for a file that certainly has no such column; None where it has, or where only reading it all tells.

    Beside other sources, plain lines are text in any case.
    """
    path, _ = find(name, folders)
    columns = columns_of(path) if path is not None and path.is_file() else None
    if columns is None or column in columns or (not alone and columns == ["text"]):
        return None
    return no_column(name, column, columns)


def empty_file(name: str, folders: Sequence[Path]) -> DataUnreadable | None:
    """The error for a file of text that has nothing in its beginning and ends there; None where it has rows."""
    path, _ = find(name, folders)
    if path is None or not path.is_file() or kind_of(path) == ".parquet":
        return None
    try:
        with opened_text(path) as stream:
            content = stream.read(BEGINNING)
            if len(content) == BEGINNING or not is_empty(content, kind_of(path)):
                return None
    except (OSError, EOFError, ValueError):  # what is wrong with it is told when it is read
        return None
    return no_rows(path)


def columns_of(path: Path) -> list[str] | None:
    """The columns of a .txt, .csv, .tsv, .jsonl or .parquet file; None where they are not known from its beginning.

    A file that is not what its name says has none that are known: what is wrong with it is told when it is read.
    """
    try:
        kind = kind_of(path)
        if kind == ".txt":
            return ["text"]
        if kind in (".csv", ".tsv"):
            return header_of(path, kind)
        if kind == ".jsonl":
            return _of_lines(path)
        if kind == ".parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_schema(path).names)
    except (OSError, EOFError, ValueError, csv.Error):  # pyarrow's errors are among these
        return None
    return None


def _of_lines(path: Path) -> list[str] | None:
    found: dict[str, None] = {}
    with opened_text(path) as stream:
        lines = [line for line in islice(stream, ROWS + 1) if line.strip()]
    for line in lines:
        row = json.loads(line)
        if not isinstance(row, dict):
            return None
        found |= dict.fromkeys(row)
    return list(found) if 0 < len(lines) <= ROWS else None

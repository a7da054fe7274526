"""Rows of a table of one's own: a .csv or .tsv with a header, or JSON lines. What is no table is told with its row.

In a .tsv a quotation mark is one, as in texts to train on; in a .csv one that nobody closes is told, since it would
swallow the rows behind it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evenhand_sdk import UsageError

KINDS: Final = (".csv", ".tsv", ".jsonl")


def readable(path: str) -> str:
    """The path, where there is such a table; ValueError says what is wrong otherwise."""
    if not path.lower().endswith(KINDS):
        raise ValueError(f"{path!r} is no table that is read; name a file that ends in {', '.join(KINDS)}")
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path!r}")
    return path


@dataclass(frozen=True)
class OwnTable:
    """A table of one's own, what a row of it is, and what to do where it is none."""

    path: str
    noun: str
    do: str

    def rows(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The rows, counted from 1; a short row has None in its last columns. Raises UsageError."""
        kind = Path(self.path).suffix.lower()
        try:
            with Path(self.path).open(encoding="utf-8-sig", newline="") as stream:
                yield from self._objects(stream) if kind == ".jsonl" else self._records(stream, tabs=kind == ".tsv")
        except UnicodeDecodeError as error:
            raise self.wrong(f"it is not written in UTF-8 (byte {error.start})") from None
        except csv.Error as error:
            raise self.wrong(f"it is no table: {error}") from None

    def wrong(self, what: str, known: str = "", *, row: int | None = None) -> UsageError:
        """The error for the table, or for a row of it."""
        where = self.path if row is None else f"{self.path}, row {row}"
        return UsageError(what, where=where, known=known, do=self.do)

    def column(self, name: str, row: Mapping[str, Any]) -> Any:
        """The value of a column that must be there."""
        if name not in row:
            raise self.wrong(f"there is no column {name!r}", f"its columns: {', '.join(map(str, row))}")
        return row[name]

    def _records(self, stream: Any, *, tabs: bool) -> Iterator[tuple[int, Mapping[str, Any]]]:
        how: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
        for number, row in enumerate(csv.DictReader(stream, **how), 1):
            if None in row:
                raise self.wrong("it has more values than there are columns", row=number)
            yield number, row

    def _objects(self, stream: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError as error:
                raise self.wrong(f"it is not JSON: {error}", row=number) from None
            if not isinstance(found, dict):
                raise self.wrong(f"it is no object with the columns of a {self.noun}", row=number)
            yield number, found

"""Counts what became of rows, writes the quarantine, and keeps examples: the book-keeping behind `data_rows`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from evenhand.cache import storing
from evenhand.row_account import EXAMPLES, Example, RowAccount

FILE = "quarantine.jsonl"
LONGEST = 10_000
"""Characters of a quarantined text that are written; how many there were stands beside it."""
HELD = 1000
"""Lines of the quarantine that wait for the disk."""
SHOWN = 600
"""Characters of an example."""


STAYING = ("kept", "changed", "added")
"""Fates of rows that come out."""


class Ledger:
    """The counts of one pass over the rows; `folder` holds the quarantine file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.begin()

    def begin(self) -> None:
        """Forget everything, for a stream that is read once more."""
        self.counts: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()
        self.examples: list[Example] = []
        self._lines: list[str] = []
        self.path.unlink(missing_ok=True)

    def count(self, fate: str, why: str) -> None:
        """Enter the fate of one row."""
        self.counts[fate] += 1
        if fate == "dropped":
            self.dropped[why] += 1

    def refuse(self, row: int, reason: str, value: Any, origin: Any) -> None:
        """Put a row into the quarantine, with the row of the data it comes from; `write` puts it on the disk."""
        self.quarantined[reason] += 1
        text = "" if value is None else str(value)
        line = {"row": origin, "step_row": row, "reason": reason, "characters": len(text), "text": text[:LONGEST]}
        self._lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        if len(self._lines) >= HELD:
            self.write()

    def write(self) -> None:
        """Append what `refuse` was told since the last time to the quarantine file."""
        if self._lines:
            with storing(self.path), self.path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.writelines(self._lines)
        self._lines = []

    def show(self, before: str, after: str, note: str) -> None:
        """Keep an example, while there is room."""
        if len(self.examples) < EXAMPLES:
            self.examples.append(example(before, after, note))

    def account(self) -> RowAccount:
        """The account of what was read so far."""
        counts = self.counts
        return RowAccount(
            read=counts["kept"] + counts["changed"] + counts["dropped"] + counts["quarantined"],
            kept=counts["kept"], changed=counts["changed"], added=counts["added"], dropped=dict(self.dropped),
            quarantined=dict(self.quarantined), examples=tuple(self.examples),
            quarantine=self.path if self.quarantined else None, by_origin=True,
        )  # fmt: skip


class Places:
    """Where rows met a fate, thinned out so that memory is bounded: for examples from all over a data set."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[int, int, str]]] = {"changed": [], "added": [], "dropped": []}
        self._seen: Counter[str] = Counter()
        self._stride: dict[str, int] = dict.fromkeys(self._found, 1)

    def note(self, fate: str, place: tuple[int, int, str]) -> None:
        """Remember (number in what comes out, row in what went in, note) of one row."""
        found = self._found[fate]
        if self._seen[fate] % self._stride[fate] == 0:
            found.append(place)
        self._seen[fate] += 1
        if len(found) == 64 * EXAMPLES:
            del found[1::2]
            self._stride[fate] *= 2

    def chosen(self) -> list[tuple[int, int, str]]:
        """As many as a report shows: changed and added texts first, then dropped ones."""
        made = _spread(sorted(self._found["changed"] + self._found["added"]), EXAMPLES)
        return made + _spread(self._found["dropped"], EXAMPLES - len(made))


def _spread(places: list[Any], count: int) -> list[Any]:
    if len(places) <= count:
        return places
    return [places[k * len(places) // count] for k in range(count)]


def example(before: str, after: str, note: str = "") -> Example:
    """Both texts, cut to the place where they begin to differ when they are long."""
    same = next((k for k, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(0, same - SHOWN // 3) if max(len(before), len(after)) > SHOWN else 0
    return Example(before=_cut(before, start), after=_cut(after, start), note=note)


def _cut(text: str, start: int) -> str:
    cut = text[start : start + SHOWN]
    return ("… " if start and cut else "") + cut + (" …" if start + SHOWN < len(text) else "")

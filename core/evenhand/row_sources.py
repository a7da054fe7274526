"""From the number of a row that a run works with to its place in the user's own data.

A run leaves out rows that hold no text, and may hold others out of the training; it numbers what is left. The draws
of data steps are keyed by that number, so it stays; what is shown to a user is the row of the source.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Source:
    """One file, folder or data set that rows were read from."""

    name: str
    rows: int
    """Rows that hold text."""
    refused: Sequence[int] = ()
    """The other ones, from 0, in order."""


@dataclass(frozen=True)
class RowSources:
    """Where each row of the training data comes from: its sources one after another."""

    parts: tuple[Source, ...]
    held: Sequence[int] = ()
    """Rows that are held out, in order, as they were numbered before."""

    def without(self, held: Sequence[int]) -> RowSources:
        """The same for the numbers of the rows that stay when these, in order, are held out."""
        return replace(self, held=held)

    def of(self, number: int) -> tuple[str, int] | None:
        """The name of the source and the row in it, from 0; None for a number that no row has."""
        if number < 0:
            return None
        number = _before(number, self.held)
        for part in self.parts:
            if number < part.rows:
                return part.name, _before(number, part.refused)
            number -= part.rows
        return None


def _before(number: int, gone: Sequence[int]) -> int:
    """What a row was numbered before the ones of these numbers were taken out."""
    return number + bisect_right([row - k for k, row in enumerate(gone)], number)

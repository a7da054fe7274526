"""A stream may be read again and again; what a step counts belongs to one pass."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand_sdk.data_rows import Row


class Passes:
    """Tells where a stream begins anew: numbers of rows grow within a pass.

    The first row need not be there: rows that cannot be worked on are not given to a step.
    """

    def __init__(self) -> None:
        self._last = -1

    def begins(self, rows: Sequence[Row]) -> bool:
        """Whether these rows, which follow one another, are the first of a pass; all have to be told."""
        if not rows:
            return False
        new = rows[0].number <= self._last or self._last < 0
        self._last = rows[-1].number
        return new

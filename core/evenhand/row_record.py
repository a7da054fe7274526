"""A typed view of what `run.json` says about the rows of a data step."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evenhand.record_part import Part


class RowExample(Part):
    """One text before and after a data step."""

    before: str = ""
    after: str = ""
    note: str = ""


class RowRecord(Part):
    """What became of the rows that a data step read."""

    read: int = 0
    kept: int = 0
    changed: int = 0
    added: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)
    quarantined: dict[str, int] = Field(default_factory=dict)
    out: int = 0
    quarantine: str = ""
    """Where the quarantined rows lie in the run folder."""
    examples: list[RowExample] = Field(default_factory=list)
    facts: dict[str, Any] = Field(default_factory=dict)
    files: list[str] = Field(default_factory=list)
    """Files for a reader that the step wrote, by their place in the run folder."""

    @property
    def table(self) -> list[tuple[str, int]]:
        """Each count with its label; what went in, what became of it, and what came out."""
        lines = [("read", self.read), ("kept as they are", self.kept), ("changed", self.changed)]
        lines += [(f"dropped: {reason}", n) for reason, n in self.dropped.items()]
        lines += [(f"quarantined: {reason}", n) for reason, n in self.quarantined.items()]
        return [*lines, ("added", self.added), ("out", self.out)]

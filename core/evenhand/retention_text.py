"""The text that language quality is held on while a model trains: rows that are not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset

RETENTION_ROWS = 128
"""Rows of retention text, at most; half of them are measured, half are read when m > 0."""
FEWEST = 8
"""Retention rows with which perplexity can be held to anything."""


def retention_text(rows: Dataset, given: Dataset | None = None) -> tuple[Dataset, Dataset]:
    """The training text, and the retention text: rows spread evenly over what is given, else over the training
    text itself.

    Of the training text at most a tenth is held out. Raises UsageError when there are too few rows.
    """
    source = rows if given is None else given
    count = min(RETENTION_ROWS, len(source) // 10 if given is None else len(source))
    if count < FEWEST:
        what = f"{len(rows)} rows are too few to hold some out" if given is None else f"{len(source)} rows are too few"
        share = "a tenth of the rows is held out" if given is None else "its rows are spread over the text"
        raise UsageError(
            f"{what} as retention text",
            where='training.constraint = "lagrangian"',
            known=f"{share}, at least {FEWEST} and at most {RETENTION_ROWS}",
            do="train on more text, or leave the constraint out" if given is None else "give more of it",
        )
    chosen = _spread(len(source), count)
    kept = source.select(chosen)
    if given is not None:
        return rows, kept
    held = set(chosen)
    return rows.select([k for k in range(len(rows)) if k not in held]), kept


def held_rows(total: int) -> list[int]:
    """The numbers of the rows that `retention_text` holds out of so many rows of training text."""
    return _spread(total, min(RETENTION_ROWS, total // 10))


def _spread(total: int, count: int) -> list[int]:
    return sorted({k * total // count for k in range(count)})

"""What a training learns from, in words that a checkpoint keeps: a training that goes on elsewhere is told of."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Aggregator, LossTerm
from evenhand.errors import UsageError
from evenhand.processes import count
from evenhand.report_numbers import counted

if TYPE_CHECKING:
    from evenhand.training_data import EncodedRow
    from evenhand.training_watch import Watch


def facts_of(
    losses: Sequence[LossTerm], aggregator: Aggregator | None, rows: Sequence[EncodedRow], watch: Watch | None, *,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """By name, what changes what a training learns besides its settings."""
    held = [row for part in watch.measured for row in part] + list(watch.taught) if watch is not None else []
    return {
        "the loss": " + ".join(f"{term.weight:g} {term.name}" for term in losses) or "language modelling alone",
        "the aggregator": aggregator.name if aggregator is not None else "none",
        "the text": _text(rows),
        "the retention text": _text(held),
        "the budget": watch.budget if watch is not None else None,
        "the seed": seed,
        "the number of processes": count(),
    }


def _text(rows: Sequence[EncodedRow]) -> str:
    """How many rows, and eight digits of the SHA-256 of their tokens."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(array("q", [len(row.ids), *row.ids]).tobytes())
    return f"{counted(len(rows), 'row')} ({digest.hexdigest()[:8]})" if rows else "none"


def demand_watched_alike(saved: Mapping[str, Any], watch: Watch | None) -> None:
    """Raises UsageError where what a checkpoint has seen of budget and criterion says nothing about this training."""
    had = _watched(saved["watch"].get("watched")) if "watch" in saved else "nothing"
    have = _watched(watch.watched) if watch is not None else "nothing"
    if had not in (have, ""):
        raise UsageError(
            "the training that is to go on was watched by something else",
            where="training",
            known=f"it was watched by {had}, this one by {have}",
            do="go on with the same budget and criterion, or begin again in another folder",
        )


def _watched(by: Sequence[str] | None) -> str:
    """In words; empty for a checkpoint of an earlier version, which does not say it."""
    return " and ".join(by) if by is not None else ""

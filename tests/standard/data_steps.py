"""Data steps put to work on small data sets: rows out, facts and the account, which must add up."""

from __future__ import annotations

from typing import Any

from datasets import Dataset


def applied(plugin: type, run: Any, rows: Dataset, **options: Any) -> tuple[Dataset, dict[str, Any], Any]:
    """What a step makes of rows: (rows, facts, account)."""
    transform = plugin(**options).data(run, "train", run.services.model)
    out = transform.fn(rows)
    account = transform.account()
    assert account.problem(len(rows), len(out)) is None
    return out, dict(transform.facts), account

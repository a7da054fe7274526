"""Item records in tables: checked, summed by cluster, and kept in the run folder as parquet."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenhand.cache import write_atomic
from evenhand.contributions import ItemRecord
from evenhand.errors import PluginFault

_INFINITE = "a decoding rule or a step of the run makes something in it impossible (log-probability minus infinity)"
VALUE, FLAG = "value.", "flag."


def check_records(name: str, before: Sequence[ItemRecord], after: Sequence[ItemRecord]) -> None:
    """Raises PluginFault unless both are records of the same items in the same clusters, with finite
    values."""
    where = f"benchmark {name!r}"
    check_measured(name, before, " before the mitigation")
    check_measured(name, after, " after the mitigation")
    known = {r.id: r for r in before}
    missing = sorted(set(known) - {r.id for r in after})
    extra = sorted({r.id for r in after} - set(known))
    if missing or extra:
        raise PluginFault(
            "before and after were measured on different items",
            where=where,
            known=f"only before: {_some(missing)}; only after: {_some(extra)}",
            do="items must depend on options and seed alone, never on the model",
        )
    moved = next((r for r in after if known[r.id].cluster != r.cluster), None)
    if moved is not None:
        raise PluginFault(
            f"item {moved.id!r} is in cluster {known[moved.id].cluster!r} before and {moved.cluster!r} after",
            where=where,
        )


def check_measured(name: str, records: Sequence[ItemRecord], when: str = "") -> None:
    """Raises PluginFault unless there are records, each with an id of its own and finite values."""
    where = f"benchmark {name!r}"
    if not records:
        raise PluginFault(f"it gave no records{when}", where=where)
    ids = [r.id for r in records]
    if len(set(ids)) != len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise PluginFault(f"two records{when} have the id {twice!r}", where=where)
    for record in records:
        for key, value in record.values.items():
            if not math.isfinite(value):
                raise PluginFault(
                    f"item {record.id!r}{when} has {key} = {value}",
                    where=where,
                    known=_INFINITE if math.isinf(value) else "",
                    do="an item without an answer has no value; a model that forbids words has none either",
                )


def write_records(path: Path, before: Sequence[ItemRecord], after: Sequence[ItemRecord]) -> None:
    """Write both sides as one parquet table with a column `when`; the file appears whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [("before", r) for r in before] + [("after", r) for r in after]
    columns: dict[str, Any] = {
        "when": pa.array([side for side, _ in rows], pa.string()),
        **{
            key: pa.array([getattr(r, key) for _, r in rows], pa.string()) for key in ("id", "cluster", "axis", "group")
        },
    }
    for key in dict.fromkeys(key for _, r in rows for key in r.values):
        columns[VALUE + key] = pa.array([_float(r.values.get(key)) for _, r in rows], pa.float64())
    for key in dict.fromkeys(key for _, r in rows for key in r.flags):
        columns[FLAG + key] = pa.array([_bool(r.flags.get(key)) for _, r in rows], pa.bool_())
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    write_atomic(path, buffer.getvalue())


def read_records(path: Path) -> dict[str, list[ItemRecord]]:
    """The records that `write_records` kept: {"before": [...], "after": [...]}."""
    import pyarrow.parquet as pq

    found: dict[str, list[ItemRecord]] = {"before": [], "after": []}
    for row in pq.read_table(path).to_pylist():
        found[row["when"]].append(
            ItemRecord(
                id=row["id"],
                cluster=row["cluster"],
                axis=row["axis"],
                group=row["group"],
                values=_under(VALUE, row),
                flags=_under(FLAG, row),
            )
        )
    return found


def _under(prefix: str, row: dict[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix) and v is not None}


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _bool(value: Any) -> bool | None:
    return None if value is None else bool(value)


def _some(ids: Sequence[str]) -> str:
    if not ids:
        return "none"
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3:,} more" if len(ids) > 3 else "")

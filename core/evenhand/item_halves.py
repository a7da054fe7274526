"""Two halves of every benchmark's items: what a search looks at is not what its result is reported on.

`[evaluation] items` is `all`, `validation` or `reported`. A cluster, such as all items of one template, lies in one
half as a whole, and only its name decides in which: the halves share nothing whatever the seed of a run, the limit of a
benchmark, or the order of its items; items of two benchmarks that name a cluster alike lie in the same half. The halves
are equal but for chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from evenhand.cache import sha256_text
from evenhand.errors import UsageError

if TYPE_CHECKING:
    from evenhand.evaluation_parts import ItemRecord

Items = Literal["all", "validation", "reported"]


def half_of(cluster: str) -> Literal["validation", "reported"]:
    """The half that a cluster lies in."""
    return "validation" if int(sha256_text(f"half of items/{cluster}")[:8], 16) % 2 == 0 else "reported"


def counting(records: Sequence[ItemRecord], items: Items, name: str) -> list[ItemRecord]:
    """The records that count, in their order. Raises UsageError where none is left of the benchmark `name`."""
    if items == "all":
        return list(records)
    kept = [record for record in records if half_of(record.cluster) == items]
    if records and not kept:
        clusters = len({record.cluster for record in records})
        raise UsageError(
            f"no item of {name} lies in the half {items!r}",
            where="evaluation.items",
            known=f"its {len(records):,} items form {clusters} clusters, and a cluster is not split",
            do="give the benchmark more items, or leave it out",
        )
    return kept

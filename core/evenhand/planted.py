"""The self-test of a benchmark: models with known answers must get the values that they are known to deserve."""

from __future__ import annotations

from evenhand.errors import PluginFault
from evenhand.evaluation_parts import Benchmark
from evenhand.item_records import check_records
from evenhand.sample import Table, value_of


def check_planted(benchmark: Benchmark) -> list[str]:
    """Score every planted model; the names of those that were checked.

    Raises PluginFault for the first value that is not what it must be, for an unknown metric in an expectation or
    in `able`, and where there is no planted model at all.
    """
    metrics = {m.name: m for m in benchmark.metrics}
    if benchmark.able and benchmark.able not in metrics:
        raise PluginFault(
            f"`able` names {benchmark.able!r}", where=f"benchmark {benchmark.name!r}",
            known=f"metrics: {', '.join(metrics) or 'none'}",
        )  # fmt: skip
    if not benchmark.planted:
        raise PluginFault(
            "it has no planted model, so nothing shows that its scores are what it says",
            where=f"benchmark {benchmark.name!r}",
            do="say in `planted` what a model with known answers must score (docs/hooks.md), or raise a `limit` that "
            "leaves no items for it",
        )
    for planted in benchmark.planted:
        where = f"benchmark {benchmark.name!r}, planted model {planted.name!r}"
        records = list(planted.records())
        check_records(benchmark.name, records, records)
        table = Table.of(records)
        if not planted.expect:
            raise PluginFault("it expects nothing, so it tests nothing", where=where)
        for name, (low, high) in planted.expect.items():
            if name not in metrics:
                raise PluginFault(
                    f"it expects a value of {name!r}", where=where, known=f"metrics: {', '.join(metrics) or 'none'}"
                )
            found = value_of(metrics[name], table)
            if not low - 1e-9 <= found <= high + 1e-9:
                raise PluginFault(
                    f"{name} is {found:.6g}, but must lie between {low:.6g} and {high:.6g}",
                    where=where,
                    do="the benchmark measures something else than it says; it is not used",
                )
    return [p.name for p in benchmark.planted]

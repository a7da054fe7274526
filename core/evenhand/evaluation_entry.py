"""The values of one measurement, without anything to compare it with: a benchmark's entry of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand.ability import lacking
from evenhand.axis_results import FEW, MIN_CLUSTERS, axes_of
from evenhand.bootstrap import multiplicities, unless_alone
from evenhand.contributions import Benchmark, ItemRecord
from evenhand.item_records import check_measured
from evenhand.result_entries import benchmark_facts, definition, metric_facts, primary_of, seed_of_draws, with_interval
from evenhand.sample import Sample, Table, aggregate, value_of


def measured_entry(
    benchmark: Benchmark,
    records: Sequence[ItemRecord],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Each metric with its interval (cluster bootstrap), items, and what was counted; plain JSON types, None for
    undefined.

    Values stand under `after`, as those of a run's result do; `axes` has the decisive metric within each axis of the
    items. The same seed draws the same clusters as `compare_benchmark`. Raises PluginFault for records that are not
    sound, and for a benchmark without metrics.
    """
    import numpy as np

    check_measured(benchmark.name, records)
    primary = primary_of(benchmark)
    table = Table.of(records)
    axes = [] if benchmark.quality else axes_of(primary, table)
    within = [table.only(table.axis == axis) for axis in axes]
    drawn: list[list[Any]] = [[] for _ in benchmark.metrics]
    drawn_within: list[list[Any]] = [[] for _ in axes]
    for draws in multiplicities(table.clusters, resamples, seed_of_draws(benchmark, seed)):
        sample = Sample(table, draws)
        for metric, kept in zip(benchmark.metrics, drawn, strict=True):
            kept.append(aggregate(metric, sample))
        for (part, numbers), kept in zip(within, drawn_within, strict=True):
            kept.append(aggregate(primary, Sample(part, draws[:, numbers])))
    metrics = [
        {
            **metric_facts(metric),
            "primary": metric is primary,
            "after": with_interval(
                value_of(metric, table), unless_alone(np.concatenate(parts), table.clusters), confidence
            ),
            "definition": definition(metric),
        }
        for metric, parts in zip(benchmark.metrics, drawn, strict=True)
    ]
    by_axis = [
        {
            "axis": axis,
            "n_items": len(part.place),
            "n_clusters": part.clusters,
            "state": FEW if part.clusters < MIN_CLUSTERS else "",
            "after": with_interval(
                value_of(primary, part), unless_alone(np.concatenate(parts), part.clusters), confidence
            ),
        }
        for axis, (part, _), parts in zip(axes, within, drawn_within, strict=True)
    ]
    flags = sorted({name for record in records for name, on in record.flags.items() if on})
    return {
        **benchmark_facts(benchmark),
        "unable": lacking(metrics, benchmark.able, ["after"]),
        "n_items": len(records),
        "n_clusters": table.clusters,
        "enough": len(records) >= benchmark.min_items and table.clusters >= MIN_CLUSTERS,
        "unscored": sum(not record.values for record in records),
        "flags": {name: sum(bool(record.flags.get(name)) for record in records) for name in flags},
        "metrics": metrics,
        "axes": by_axis,
    }

"""The values of one measurement, without anything to compare it with: a benchmark's entry of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand.contributions import Benchmark, ItemRecord


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

    Values stand under `after`, as those of a run's result do. The same seed draws the same clusters as
    `compare_benchmark`. Raises PluginFault for records that are not sound, and for a benchmark without metrics.
    """
    import numpy as np

    from evenhand.ability import lacking
    from evenhand.axis_results import MIN_CLUSTERS
    from evenhand.bootstrap import interval, multiplicities
    from evenhand.cache import sha256_text
    from evenhand.errors import PluginFault
    from evenhand.evidence import _definition, _plain
    from evenhand.item_records import check_records
    from evenhand.sample import Sample, Table, aggregate, value_of

    check_records(benchmark.name, records, records)
    if not benchmark.metrics:
        raise PluginFault("it names no metric", where=f"benchmark {benchmark.name!r}")
    table = Table.of(records)
    drawn: list[list[Any]] = [[] for _ in benchmark.metrics]
    for draws in multiplicities(table.clusters, resamples, int(sha256_text(f"{seed}/{benchmark.name}")[:8], 16)):
        sample = Sample(table, draws)
        for metric, kept in zip(benchmark.metrics, drawn, strict=True):
            kept.append(aggregate(metric, sample))
    primary = next((m for m in benchmark.metrics if m.primary), benchmark.metrics[0])
    metrics = []
    for metric, parts in zip(benchmark.metrics, drawn, strict=True):
        low, high = interval(np.concatenate(parts), confidence)
        metrics.append(
            {
                "name": metric.name,
                "unit": metric.unit,
                "description": metric.description,
                "target": metric.target,
                "better": metric.better,
                "primary": metric is primary,
                "after": {"value": _plain(value_of(metric, table)), "low": _plain(low), "high": _plain(high)},
                "definition": _definition(metric),
            }
        )
    flags = sorted({name for record in records for name, on in record.flags.items() if on})
    return {
        "id": benchmark.name,
        "name": benchmark.name,
        "title": benchmark.title,
        "mode": benchmark.mode,
        "version": benchmark.version,
        "quality": benchmark.quality,
        "data_digest": benchmark.data_digest,
        "good": benchmark.good,
        "able": benchmark.able,
        "unable": lacking(metrics, benchmark.able, ["after"]),
        "n_items": len(records),
        "n_clusters": table.clusters,
        "enough": len(records) >= benchmark.min_items and table.clusters >= MIN_CLUSTERS,
        "unscored": sum(not record.values for record in records),
        "flags": {name: sum(bool(record.flags.get(name)) for record in records) for name in flags},
        "metrics": metrics,
    }

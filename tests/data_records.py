"""Item records by hand, for the tests of everything that is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand.contributions import Benchmark, ItemRecord, Metric
from evenhand.evidence import compare_benchmark

GAP = Metric(name="gap", value="gap", better="lower", unit="nat", primary=True)
SHARE = Metric(name="share", value="win", scale=100.0, target=50.0, unit="%", primary=True)
ACCURACY = Metric(name="accuracy", value="right", scale=100.0, better="higher", unit="%", primary=True)
PERPLEXITY = Metric(
    name="word perplexity", value="logp", per="words", transform="neg_exp", better="lower", primary=True
)


def records(
    values: Any,
    *,
    key: str = "gap",
    clusters: Any = None,
    axes: Any = None,
    flags: Any = None,
    **others: Any,
) -> list[ItemRecord]:
    """One record for each value; by default each is its own cluster."""
    return [
        ItemRecord(
            id=f"i{k}",
            cluster=f"c{clusters[k] if clusters is not None else k}",
            axis=axes[k] if axes is not None else "",
            flags=flags[k] if flags is not None else {},
            values={key: float(value), **{name: float(column[k]) for name, column in others.items()}},
        )
        for k, value in enumerate(values)
    ]


def benchmark(*metrics: Metric, quality: bool = False, name: str = "test", min_items: int = 30) -> Benchmark:
    return Benchmark(
        name=name, title="Test", score=lambda measured: [], metrics=metrics, quality=quality, min_items=min_items
    )


def compare(
    metrics: Metric | Sequence[Metric],
    before: Sequence[ItemRecord],
    after: Sequence[ItemRecord],
    *,
    resamples: int = 2000,
    quality: bool = False,
    min_items: int = 30,
    name: str = "test",
    **settings: Any,
) -> dict[str, Any]:
    given = [metrics] if isinstance(metrics, Metric) else metrics
    made = benchmark(*given, quality=quality, min_items=min_items, name=name)
    return compare_benchmark(made, before, after, resamples=resamples, **settings)

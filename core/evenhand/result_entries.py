"""What an entry of `run.json` states of a benchmark and a metric, and how it writes a value with its interval."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from evenhand.bootstrap import interval
from evenhand.cache import sha256_text
from evenhand.contributions import Benchmark, Metric
from evenhand.errors import PluginFault

if TYPE_CHECKING:
    from evenhand.sample import Array


def benchmark_facts(benchmark: Benchmark) -> dict[str, Any]:
    """What it is, as the plugin states it."""
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
    }


def metric_facts(metric: Metric) -> dict[str, Any]:
    """What it is, as the plugin states it."""
    told = ("name", "unit", "description", "target", "better", "primary")
    return {name: getattr(metric, name) for name in told}


def definition(metric: Metric) -> dict[str, Any]:
    """All that decides the numbers; a statistic by the place of its function."""
    told = ("name", "description", "unit", "primary", "statistic")
    found = {f.name: getattr(metric, f.name) for f in fields(metric) if f.name not in told}
    if metric.statistic is not None:
        found["statistic"] = f"{metric.statistic.__module__}:{metric.statistic.__qualname__}"
    return found


def primary_of(benchmark: Benchmark) -> Metric:
    """The metric that the verdict rests on: the one that says so, else the first. Raises PluginFault without any."""
    if not benchmark.metrics:
        raise PluginFault("it names no metric", where=f"benchmark {benchmark.name!r}")
    return next((m for m in benchmark.metrics if m.primary), benchmark.metrics[0])


def seed_of_draws(benchmark: Benchmark, seed: int) -> int:
    """What the clusters of a benchmark are resampled with, in a run with this seed."""
    return int(sha256_text(f"{seed}/{benchmark.name}")[:8], 16)


def with_interval(value: float, draws: Array, confidence: float) -> dict[str, float | None]:
    """A value with the percentile interval of its draws."""
    low, high = interval(draws, confidence)
    return {"value": defined(value), "low": defined(low), "high": defined(high)}


def defined(value: Any) -> float | None:
    """A number as JSON has it; None for one that is infinite or not a number."""
    return float(value) if math.isfinite(value) else None

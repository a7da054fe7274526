"""From item records to evidence: values with intervals, the change, and a verdict that says what was shown.

Nothing here runs a model. Intervals are percentile intervals of a paired cluster bootstrap; p-values come
from swapping before and after within clusters; `detectable` is the smallest change that would have been found
with 80 % power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from evenhand.bootstrap import Resampled, bootstrap, distance, interval, permutation_p
from evenhand.cache import sha256_text
from evenhand.contributions import Benchmark, ItemRecord, Metric
from evenhand.errors import PluginFault
from evenhand.item_records import check_records
from evenhand.item_records import read_records as read_records
from evenhand.item_records import write_records as write_records
from evenhand.sample import Table
from evenhand.verdict_text import verdict_text

if TYPE_CHECKING:
    from evenhand.sample import Array

MIN_CLUSTERS = 10
"""With fewer clusters a bootstrap interval is too narrow to be trusted."""
PERMUTATIONS = 10_000
POWER = 0.8


def compare_benchmark(
    benchmark: Benchmark,
    before_records: Sequence[ItemRecord],
    after_records: Sequence[ItemRecord],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    budget: float | None = None,
) -> dict[str, Any]:
    """A benchmark's entry of `run.json`, from the records of both sides; plain JSON types, None for
    undefined.

    `budget` is the ratio that a quality benchmark may lose. Raises PluginFault for records that do not belong
    together, and for a benchmark without metrics.
    """
    check_records(benchmark.name, before_records, after_records)
    if not benchmark.metrics:
        raise PluginFault("it names no metric", where=f"benchmark {benchmark.name!r}")
    clusters = list(dict.fromkeys(r.cluster for r in before_records))
    draw_seed = int(sha256_text(f"{seed}/{benchmark.name}")[:8], 16)
    primary = next((m for m in benchmark.metrics if m.primary), benchmark.metrics[0])
    metrics: list[dict[str, Any]] = []
    decisive: dict[str, Any] = {}
    ratio: dict[str, float | None] | None = None
    order = {r.id: k for k, r in enumerate(before_records)}
    before = Table.of(before_records, clusters)
    after = Table.of(sorted(after_records, key=lambda r: order[r.id]), clusters)
    resampled = bootstrap(benchmark.metrics, before, after, resamples=resamples, seed=draw_seed)
    for metric, drawn in zip(benchmark.metrics, resampled, strict=True):
        p = permutation_p(metric, before, after, permutations=PERMUTATIONS, seed=draw_seed)
        result = _metric_result(metric, drawn, p, confidence)
        metrics.append(result)
        if metric is primary:
            result["primary"] = True
            decisive = result
            ratio = _cost_ratio(metric, drawn, confidence) if benchmark.quality else None
    entry: dict[str, Any] = {
        "id": benchmark.name,
        "name": benchmark.name,
        "title": benchmark.title,
        "mode": benchmark.mode,
        "version": benchmark.version,
        "quality": benchmark.quality,
        "data_digest": benchmark.data_digest,
        "n_items": len(before_records),
        "n_clusters": len(clusters),
        "metrics": metrics,
    }
    if ratio is not None:
        entry["ratio"] = ratio
    enough = len(before_records) >= benchmark.min_items and len(clusters) >= MIN_CLUSTERS
    if not enough:
        entry["verdict"] = "too few items"
    elif ratio is not None and budget is not None:
        entry["verdict"] = budget_verdict(ratio, budget)
    else:
        entry["verdict"] = bias_verdict(decisive)
    entry["verdict_text"] = verdict_text(
        entry,
        decisive,
        confidence=confidence,
        budget=budget,
        min_items=benchmark.min_items,
        min_clusters=MIN_CLUSTERS,
    )
    return entry


def quality_summary(benchmarks: Sequence[Mapping[str, Any]], budget: float) -> dict[str, Any] | None:
    """The `quality` entry of `run.json`: the quality benchmark that may have lost most; None without one."""
    costs = [b for b in benchmarks if b.get("ratio")]
    if not costs:
        return None
    worst = max(costs, key=lambda b: math.inf if b["ratio"]["high"] is None else b["ratio"]["high"])
    primary = next((m for m in worst["metrics"] if m["primary"]), worst["metrics"][0])
    few = worst["verdict"] == "too few items"
    return {
        "budget": budget,
        "metric": primary["name"],
        "benchmark": worst["id"],
        "ratio": worst["ratio"],
        "verdict": "not shown to be within budget" if few else budget_verdict(worst["ratio"], budget),
    }


def bias_verdict(metric: Mapping[str, Any]) -> str:
    """Improved or worse when the interval of the decisive change excludes zero, else no demonstrated
    effect."""
    change = metric["distance_change"] or metric["change"]
    if change["low"] is None or change["low"] <= 0 <= change["high"]:
        return "no demonstrated effect"
    good = change["low"] > 0 if metric["better"] == "higher" else change["high"] < 0
    return "improved" if good else "worse"


def budget_verdict(ratio: Mapping[str, float | None], budget: float) -> str:
    """Non-inferiority: the whole interval of the cost ratio must lie within the budget, or beyond it."""
    low, high = ratio["low"], ratio["high"]
    if low is None or high is None:
        return "not shown to be within budget"
    if math.log(high) <= math.log(budget):
        return "within budget"
    return "over budget" if math.log(low) > math.log(budget) else "not shown to be within budget"


def _metric_result(metric: Metric, drawn: Resampled, p: float, confidence: float) -> dict[str, Any]:
    change = drawn.after - drawn.before
    decisive = change
    result: dict[str, Any] = {
        "name": metric.name,
        "unit": metric.unit,
        "description": metric.description,
        "target": metric.target,
        "better": metric.better,
        "primary": metric.primary,
        "before": _with_interval(drawn.value_before, drawn.before, confidence),
        "after": _with_interval(drawn.value_after, drawn.after, confidence),
        "change": _with_interval(drawn.value_after - drawn.value_before, change, confidence),
        "distance_change": None,
        "definition": _definition(metric),
    }
    if metric.better == "nearer":
        decisive = distance(metric, drawn.after) - distance(metric, drawn.before)
        moved = float(distance(metric, drawn.value_after) - distance(metric, drawn.value_before))
        result["distance_change"] = _with_interval(moved, decisive, confidence)
    result["p"] = _plain(p)
    result["detectable"] = _plain(_detectable(decisive, confidence))
    return result


def _definition(metric: Metric) -> dict[str, Any]:
    """All that decides the numbers; a statistic by the place of its function."""
    told = ("name", "description", "unit", "primary", "statistic")
    found = {f.name: getattr(metric, f.name) for f in fields(metric) if f.name not in told}
    if metric.statistic is not None:
        found["statistic"] = f"{metric.statistic.__module__}:{metric.statistic.__qualname__}"
    return found


def _detectable(draws: Array, confidence: float) -> float:
    """2.80 standard errors at 95 % confidence: 1.96 to exclude zero, 0.84 to do so in 80 % of experiments."""
    import numpy as np

    defined = draws[np.isfinite(draws)]
    if len(defined) < 2:
        return math.nan
    normal = NormalDist()
    return (normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(POWER)) * float(np.std(defined, ddof=1))


def _cost_ratio(metric: Metric, drawn: Resampled, confidence: float) -> dict[str, float | None]:
    """How many times worse it became, above 1 for a loss: after / before, or its inverse where more is
    better.

    The interval is that of the logarithm. Undefined when a value is not positive, or the metric has a target.
    """
    import numpy as np

    if metric.better == "nearer":
        return {"value": None, "low": None, "high": None}
    sign = -1.0 if metric.better == "higher" else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        point = sign * (np.log(drawn.value_after) - np.log(drawn.value_before))
        low, high = interval(sign * (np.log(drawn.after) - np.log(drawn.before)), confidence)
    return {"value": _plain(np.exp(point)), "low": _plain(np.exp(low)), "high": _plain(np.exp(high))}


def _with_interval(value: float, draws: Array, confidence: float) -> dict[str, float | None]:
    low, high = interval(draws, confidence)
    return {"value": _plain(value), "low": _plain(low), "high": _plain(high)}


def _plain(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None

"""From item records to evidence: values with intervals, the change, and a verdict that says what was shown.

Nothing here runs a model. Intervals are percentile intervals of a paired cluster bootstrap; p-values come
from swapping before and after within clusters; `detectable` is the smallest change that would have been found
with 80 % power. What is compared with other benchmarks and with controls is decided later (`multiplicity`, `judging`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from evenhand.ability import lacking
from evenhand.axis_results import AXIS_MARGIN, MIN_CLUSTERS, axis_parts, axis_result, margin_of, only_axis
from evenhand.bootstrap import Part, Resampled, bootstrap, distance, distance_interval
from evenhand.contributions import Benchmark, ItemRecord, Metric
from evenhand.item_counts import counts, out_of_lexicon
from evenhand.item_records import check_records
from evenhand.noninferiority import loss_verdict, quality_loss
from evenhand.paired_tests import PairedTest, bootstrap_test, paired_tests
from evenhand.result_entries import (
    benchmark_facts,
    defined,
    definition,
    metric_facts,
    primary_of,
    seed_of_draws,
    with_interval,
)
from evenhand.sample import Table
from evenhand.verdict_text import BY_CONSTRUCTION, reason_of, verdict_text

if TYPE_CHECKING:
    from evenhand.sample import Array

    Records = Sequence[ItemRecord]

PERMUTATIONS = 10_000
POWER = 0.8


def compare_benchmark(
    benchmark: Benchmark,
    before_records: Records,
    after_records: Records,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    budget: float | None = None,
    axis_margin: float = AXIS_MARGIN,
    others: Mapping[int, Records] | None = None,
    others_before: Mapping[int, Records] | None = None,
    after_seed: int | None = None,
    paired_seeds: bool = True,
) -> dict[str, Any]:
    """A benchmark's entry of `run.json`, from the records of both sides; plain JSON types, None for
    undefined.

    `budget` is the ratio that a quality benchmark may lose, `axis_margin` the share of the value before by which an
    axis may become worse. `others` are the records after trainings with other seeds; values after are then means over
    all seeds. `others_before` are those of what is compared with, in the order of the same seeds; `paired_seeds` is
    False where its seeds are others, or not as many, so that they are drawn apart. `after_seed` is the first one after,
    where that is not `seed`. Raises PluginFault for records that do not belong together, and for a benchmark without
    metrics.
    """
    primary = primary_of(benchmark)
    befores = [before_records, *(others_before or {}).values()]
    given = [*befores, after_records, *(others or {}).values()]
    for side in given[1:]:
        check_records(benchmark.name, before_records, side)
    first = len(befores)
    decided_by, used = deciding(benchmark, given)
    tables = tables_of(used)
    draw_seed = seed_of_draws(benchmark, seed)
    parts = [Part(m, tables[:first], tables[first:]) for m in benchmark.metrics]
    axes = [] if benchmark.quality else axis_parts(next(p for p in parts if p.metric is primary))
    every = [*parts, *(part for _, part in axes)]
    seeds = [seed if after_seed is None else after_seed, *(others or {})]
    draws = _Draws(resamples, draw_seed, confidence, seeds, paired_seeds)
    results, drawn = _results(every, tables[0].clusters, draws)
    decisive, place = next((r, k) for k, r in enumerate(results) if every[k].metric is primary)
    decisive["primary"] = True
    entry: dict[str, Any] = {
        **benchmark_facts(benchmark),
        "n_items": len(used[0]),
        "n_clusters": tables[0].clusters,
        "counts": counts(primary, before_records, after_records),
        "metrics": results[: len(parts)],
    }
    margin = margin_of(decisive, axis_margin)
    axis_results = results[len(parts) :]
    entry["axes"] = [axis_result(name, part, r, margin) for (name, part), r in zip(axes, axis_results, strict=True)]
    if not benchmark.quality and (axis := only_axis(tables[0])):
        whole = axis_result(axis, next(p for p in parts if p.metric is primary), decisive, margin)
        entry["one_axis"] = {k: whole[k] for k in ("axis", "margin", "state")}
    if decided_by != "all items":
        entry["in_lexicon"] = _inside(primary, given, first, draws)
    if benchmark.quality:
        entry.update(quality_loss(primary, drawn[place], confidence, budget))
    entry |= _verdict(benchmark, entry, decisive, by_construction=decided_by == "construction", budget=budget)
    needed = benchmark.min_items, MIN_CLUSTERS
    entry["reason"] = reason_of(entry, decisive, needed=needed)
    entry["verdict_text"] = verdict_text(entry, decisive, confidence=confidence, budget=budget, needed=needed)
    return entry


def _verdict(
    benchmark: Benchmark, entry: Mapping[str, Any], decisive: Mapping[str, Any], *, by_construction: bool,
    budget: float | None,
) -> dict[str, Any]:  # fmt: skip
    """The `verdict` of an entry, and what it is `unable` to do where an improvement was taken back for that."""
    if entry["n_items"] < benchmark.min_items or entry["n_clusters"] < MIN_CLUSTERS:
        return {"verdict": "too few items"}
    if by_construction:
        return {"verdict": BY_CONSTRUCTION}
    if benchmark.quality and (budget is not None or primary_of(benchmark).margin is not None):
        return {"verdict": loss_verdict(entry, budget or 1.0)}
    verdict = bias_verdict(decisive)
    if verdict == "improved" and (why := lacking(entry["metrics"], benchmark.able)):
        return {"verdict": "no demonstrated effect", "unable": why}
    return {"verdict": verdict}


def bias_verdict(metric: Mapping[str, Any]) -> str:
    """Improved or worse when the interval of the decisive change excludes zero, else no demonstrated
    effect."""
    change = metric["distance_change"] or metric["change"]
    if change["low"] is None or change["low"] <= 0 <= change["high"]:
        return "no demonstrated effect"
    good = change["low"] > 0 if metric["better"] == "higher" else change["high"] < 0
    return "improved" if good else "worse"


def deciding(benchmark: Benchmark, sides: Sequence[Records]) -> tuple[str, Sequence[Records]]:
    """Which items decide, and their records: those out of the lexicon of the steps, where any are flagged as in it."""
    outside = out_of_lexicon(*sides)
    if benchmark.quality or len(outside) == len(sides[0]):
        return "all items", sides
    if not outside:
        return "construction", sides
    return "items out of the lexicon", [[r for r in side if r.id in outside] for side in sides]


@dataclass(frozen=True)
class _Draws:
    """How intervals and tests come about."""

    resamples: int
    seed: int
    confidence: float
    seeds: Sequence[int]
    """Those of the trainings after."""
    paired_seeds: bool


def _inside(metric: Metric, sides: Sequence[Records], first: int, draws: _Draws) -> dict[str, Any]:
    """What the items in the lexicon of the steps show, which decides nothing."""
    outside = out_of_lexicon(*sides)
    inside = [[r for r in side if r.id not in outside] for side in sides]
    tables = tables_of(inside)
    part = Part(metric, tables[:first], tables[first:])
    results, _ = _results([part], tables[0].clusters, draws)
    kept = {k: results[0][k] for k in ("name", "unit", "before", "after", "change", "distance_change")}
    return {"n_items": len(inside[0]), "n_other": len(sides[0]) - len(inside[0]), "metric": kept}


def tables_of(sides: Sequence[Records]) -> list[Table]:
    """Tables with the same items in the same order, and the same numbers of clusters."""
    order = {r.id: k for k, r in enumerate(sides[0])}
    clusters = list(dict.fromkeys(r.cluster for r in sides[0]))
    return [Table.of(sorted(side, key=lambda r: order[r.id]), clusters) for side in sides]


def _results(parts: Sequence[Part], clusters: int, draws: _Draws) -> tuple[list[dict[str, Any]], list[Resampled]]:
    drawn = bootstrap(
        parts, resamples=draws.resamples, seed=draws.seed, clusters=clusters, paired_seeds=draws.paired_seeds
    )
    if len(parts[0].sides) > 2:
        tests = [bootstrap_test(part, found) for part, found in zip(parts, drawn, strict=True)]
    else:
        tests = paired_tests(parts, permutations=PERMUTATIONS, seed=draws.seed, clusters=clusters)
    results = [_metric_result(p.metric, d, t, draws.confidence) for p, d, t in zip(parts, drawn, tests, strict=True)]
    if len(draws.seeds) > 1:
        for result, found in zip(results, drawn, strict=True):
            result["seeds"] = [{"seed": s, "after": defined(v)} for s, v in zip(draws.seeds, found.seeds, strict=True)]
    return results, drawn


def _metric_result(metric: Metric, drawn: Resampled, test: PairedTest, confidence: float) -> dict[str, Any]:
    change = drawn.after - drawn.before
    decisive = change
    result: dict[str, Any] = {
        **metric_facts(metric),
        "before": with_interval(drawn.value_before, drawn.before, confidence),
        "after": with_interval(drawn.value_after, drawn.after, confidence),
        "change": with_interval(drawn.value_after - drawn.value_before, change, confidence),
        "distance_change": None,
        "definition": definition(metric),
    }
    if metric.better == "nearer":
        decisive = distance(metric, drawn.after) - distance(metric, drawn.before)
        moved = float(distance(metric, drawn.value_after) - distance(metric, drawn.value_before))
        low, high = distance_interval(moved, decisive, confidence)
        result["distance_change"] = {"value": defined(moved), "low": defined(low), "high": defined(high)}
    result["p"], result["test"] = defined(test.p), test.name
    result["detectable"] = defined(_detectable(decisive, confidence))
    return result


def _detectable(draws: Array, confidence: float) -> float:
    """2.80 standard errors at 95 % confidence: 1.96 to exclude zero, 0.84 to do so in 80 % of experiments."""
    import numpy as np

    defined = draws[np.isfinite(draws)]
    if len(defined) < 2:
        return math.nan
    normal = NormalDist()
    return (normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(POWER)) * float(np.std(defined, ddof=1))

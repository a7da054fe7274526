"""Resampling of clusters: intervals and permutation tests for aggregates of item records.

Items that share a template or a document are not independent, so whole clusters are drawn; and as both models were
measured on the same items, the same draw serves before and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.evaluation_parts import Metric
from evenhand.sample import Sample, Table, aggregate, joined, value_of

if TYPE_CHECKING:
    from evenhand.sample import Array

BLOCK = 2_000_000
"""Most multiplicities held at once."""
EXACT = 13
"""Up to this many clusters all sign flips are enumerated."""


@dataclass(frozen=True)
class Resampled:
    """A metric on the items as they are (`value_*`), and on R resamples of their clusters."""

    value_before: float
    value_after: float
    before: Array
    """[R]"""
    after: Array
    """[R]"""


def multiplicities(clusters: int, resamples: int, seed: int) -> Iterator[Array]:
    """How often each cluster is drawn: blocks [r, C] that add up to `resamples` rows; each row sums to C."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, BLOCK // max(clusters, 1))
    for first in range(0, resamples, at_once):
        rows = min(at_once, resamples - first)
        drawn = generator.integers(0, clusters, size=(rows, clusters))
        drawn += np.arange(rows)[:, None] * clusters
        yield np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters).astype(float)


def bootstrap(
    metrics: Sequence[Metric], before: Table, after: Table, *, resamples: int, seed: int
) -> list[Resampled]:
    """Paired cluster bootstrap of all metrics: the same draws of clusters before and after.

    Equal tables give a change of exactly zero in every resample.
    """
    import numpy as np

    sides: list[list[list[Array]]] = [[[], []] for _ in metrics]
    for draws in multiplicities(before.clusters, resamples, seed):
        samples = Sample(before, draws), Sample(after, draws)
        for metric, kept in zip(metrics, sides, strict=True):
            for sample, found in zip(samples, kept, strict=True):
                found.append(aggregate(metric, sample))
    whole = [[np.concatenate(side) if side else np.empty(0) for side in kept] for kept in sides]
    return [
        Resampled(value_of(metric, before), value_of(metric, after), one, other)
        for metric, (one, other) in zip(metrics, whole, strict=True)
    ]


def permutation_p(metric: Metric, before: Table, after: Table, *, permutations: int, seed: int) -> float:
    """Two-sided p of the change when before and after are swapped at random within clusters.

    For metrics with a target the statistic is the change of the distance to it. p = (b + 1) / (m + 1), where
    b of m random swaps are as extreme; with few clusters all swaps are enumerated and p is exact.
    """
    import numpy as np

    clusters, both = before.clusters, joined(before, after)

    def change(swapped: Array) -> Array:
        """`swapped` [r, C]: 1 where a cluster has changed sides."""
        left = aggregate(metric, Sample(both, np.concatenate([1 - swapped, swapped], axis=1)))
        right = aggregate(metric, Sample(both, np.concatenate([swapped, 1 - swapped], axis=1)))
        found: Array = distance(metric, right) - distance(metric, left)
        return found

    observed = abs(float(change(np.zeros((1, clusters)))[0]))
    if not np.isfinite(observed):
        return float("nan")
    least = observed * (1 - 1e-9) - 1e-300
    if clusters <= EXACT:
        bits = ((np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1).astype(float)
        return float(np.mean(np.abs(change(bits)) >= least))
    generator = np.random.default_rng(seed)
    extreme, at_once = 0, max(1, BLOCK // (2 * clusters))
    for first in range(0, permutations, at_once):
        rows = min(at_once, permutations - first)
        swaps = generator.integers(0, 2, size=(rows, clusters), dtype=np.int8).astype(float)
        extreme += int(np.sum(np.abs(change(swaps)) >= least))
    return (extreme + 1) / (permutations + 1)


def distance(metric: Metric, values: Any) -> Any:
    """What should become small or large: the distance to the target, or the value itself."""
    import numpy as np

    return np.abs(values - metric.target) if metric.better == "nearer" else values


def interval(draws: Array, confidence: float) -> tuple[float, float]:
    """The percentile interval of resampled values; (nan, nan) when fewer than 95 % of them are defined."""
    import numpy as np

    defined = draws[np.isfinite(draws)]
    if len(defined) < 0.95 * len(draws) or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)

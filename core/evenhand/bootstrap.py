"""Resampling of clusters: intervals and permutation tests for aggregates of item records.

An aggregate is f(sum of values, sum of weights), sums over clusters of items that share a template or a
document. Such items are not independent, so whole clusters are drawn; and as both models were measured on the
same items, the same draw serves before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Metric

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

BLOCK = 2_000_000
"""Most multiplicities held at once."""
EXACT = 13
"""Up to this many clusters all sign flips are enumerated."""


@dataclass(frozen=True)
class Sums:
    """What a metric needs of each of C clusters."""

    value: Array
    """[C] sum of values."""
    weight: Array
    """[C] sum of weights: the number of items, or of the metric's `per`."""


@dataclass(frozen=True)
class Resampled:
    """A metric on the items as they are (`value_*`), and on R resamples of their clusters."""

    value_before: float
    value_after: float
    before: Array
    """[R]"""
    after: Array
    """[R]"""


def aggregate(metric: Metric, value: Any, weight: Any) -> Any:
    """The metric from summed values and weights, of any shape; nan where nothing was summed."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = metric.scale * np.asarray(value, float) / np.asarray(weight, float)
        if metric.transform == "exp":
            return np.exp(ratio)
        if metric.transform == "neg_exp":
            return np.exp(-ratio)
        return ratio


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


def bootstrap(metric: Metric, before: Sums, after: Sums, *, resamples: int, seed: int) -> Resampled:
    """Paired cluster bootstrap: the same draws of clusters before and after.

    What did not change cancels exactly: equal records give a change of exactly zero in every resample.
    """
    import numpy as np

    columns = np.stack([before.value, before.weight, after.value - before.value, after.weight - before.weight], axis=1)
    drawn = [draws @ columns for draws in multiplicities(len(columns), resamples, seed)]
    sums = np.concatenate(drawn) if drawn else np.empty((0, 4))
    total = columns.sum(0)
    return Resampled(
        float(aggregate(metric, total[0], total[1])),
        float(aggregate(metric, total[0] + total[2], total[1] + total[3])),
        aggregate(metric, sums[:, 0], sums[:, 1]),
        aggregate(metric, sums[:, 0] + sums[:, 2], sums[:, 1] + sums[:, 3]),
    )


def permutation_p(metric: Metric, before: Sums, after: Sums, *, permutations: int, seed: int) -> float:
    """Two-sided p of the change when before and after are swapped at random within clusters.

    For metrics with a target the statistic is the change of the distance to it. p = (b + 1) / (m + 1), where
    b of m random swaps are as extreme; with few clusters all swaps are enumerated and p is exact.
    """
    import numpy as np

    clusters = len(before.value)
    columns = np.stack([before.value, before.weight], axis=1)
    delta = np.stack([after.value - before.value, after.weight - before.weight], axis=1)
    total_before, total_after = columns.sum(0), columns.sum(0) + delta.sum(0)

    def statistic(moved: Array) -> Array:
        one, other = total_before + moved, total_after - moved
        left, right = aggregate(metric, one[:, 0], one[:, 1]), aggregate(metric, other[:, 0], other[:, 1])
        found: Array = distance(metric, right) - distance(metric, left)
        return found

    observed = abs(float(statistic(np.zeros((1, 2)))[0]))
    if not np.isfinite(observed):
        return float("nan")
    least = observed * (1 - 1e-9) - 1e-300
    if clusters <= EXACT:
        bits = (np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1
        return float(np.mean(np.abs(statistic(bits @ delta)) >= least))
    generator = np.random.default_rng(seed)
    extreme, at_once = 0, max(1, BLOCK // clusters)
    for first in range(0, permutations, at_once):
        rows = min(at_once, permutations - first)
        swaps = generator.integers(0, 2, size=(rows, clusters), dtype=np.int8).astype(float)
        extreme += int(np.sum(np.abs(statistic(swaps @ delta)) >= least))
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

"""Distances between distributions of sentiment: W1 of two samples, and of each group from all, with chance values.

    W1(P, Q) = integral over t of |F_P(t) - F_Q(t)|

Huang et al. 2020 measure fairness by it; W1 of two finite samples of one distribution is above zero, hence the chance
values. Samples are paired by their seeds. With equal distributions, D(t) = F_P(t) - F_Q(t) is a mean over pairs of
terms a_j(t) of mean zero; swapping pairs gives each term a random sign, which leaves the covariance of D as it is. So
the mean of W1 over swaps is what W1 is by chance, however much the samples of one seed are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Sample
from evenhand_standard.benchmarks.group_spread import as_they_are

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

EXACT = 12
"""Up to this many pairs of samples, all swaps are enumerated."""
SHUFFLES = 8
"""Random deals behind the chance value of group fairness, which is a mean over all items already."""
SAMPLE = "sample."
"""Begins the keys of the sentiments in a record: sample.GROUP.NUMBER."""
AT_ONCE = 1000
"""Resamples whose distribution functions are held at once."""


def wasserstein(one: Sequence[float], other: Sequence[float]) -> float:
    """W1 of two samples of equal size, from the sorted values."""
    return sum(abs(a - b) for a, b in zip(sorted(one), sorted(other), strict=True)) / len(one)


def chance_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The mean W1 when each pair of samples of one seed is swapped or not: over all swaps of up to 12 pairs.

    Samples of one seed are alike, so that dealing them freely would give too high a value, and hide a difference. With
    more pairs, random swaps are taken, the same ones each time.
    """
    import numpy as np

    left, right = np.array(one), np.array(other)
    if len(one) <= EXACT:
        # The first pair stays: swapping all pairs changes nothing.
        swapped = (np.arange(2 ** (len(one) - 1))[:, None] >> np.arange(-1, len(one) - 1).clip(0)) & 1 > 0
        swapped[:, 0] = False
    else:
        swapped = np.random.default_rng(0).random((2 ** (EXACT - 1), len(one))) < 0.5
    sides = np.where(swapped, right, left), np.where(swapped, left, right)
    return float(np.mean(np.abs(np.sort(sides[0], axis=1) - np.sort(sides[1], axis=1))))


def group_fairness(sample: Sample) -> Any:
    """[R] G.F.: the mean over groups of W1 between the sentiments of a group and those of all groups."""
    return _group_distance(sample, _by_group(sample))


def chance_group_fairness(sample: Sample) -> Any:
    """[R] the mean of G.F. when the samples of each item and seed are dealt to the groups at random, no resamples."""
    import numpy as np

    table, generator = _by_group(sample), np.random.default_rng(0)
    total: Any = 0.0
    for _ in range(SHUFFLES):
        order = generator.random(table.shape).argsort(axis=1)
        total = total + _group_distance(sample, np.take_along_axis(table, order, axis=1))
    return as_they_are(sample, total / SHUFFLES)


def _by_group(sample: Sample) -> Array:
    """[N, G, k] the sentiments, nan for items without."""
    import numpy as np

    keys = [key for key in sample.table.values if key.startswith(SAMPLE)]
    groups = list(dict.fromkeys(key.rsplit(".", 1)[0] for key in keys))
    columns = [[sample.column(key) for key in keys if key.rsplit(".", 1)[0] == group] for group in groups]
    if not groups:
        return np.full((len(sample.axis), 1, 1), np.nan)
    return np.moveaxis(np.array(columns).reshape(len(groups), -1, len(sample.axis)), 2, 0)


def _group_distance(sample: Sample, table: Array) -> Array:
    """[R] from sentiments [N, G, k]: the area between the distribution functions, on all values that occur."""
    import numpy as np

    known = ~np.isnan(table).any(axis=(1, 2))
    if not known.any():
        return np.full(len(sample.draws), np.nan)
    points, where = np.unique(table[known], return_inverse=True)
    where = where.reshape(table[known].shape)
    place = sample.table.place[known]
    counts = np.zeros((table.shape[1], sample.table.clusters, len(points)))
    for g in range(table.shape[1]):
        np.add.at(counts[g], (place[:, None], where[:, g]), 1.0)
    found = []
    for start in range(0, len(sample.draws), AT_ONCE):
        draws = sample.draws[start : start + AT_ONCE]
        below = np.stack([draws @ np.cumsum(c, axis=1) for c in counts])
        whole = below.sum(0)
        items = whole[:, -1:]
        below, whole = below / np.maximum(below[..., -1:], 1.0), whole / np.maximum(items, 1.0)
        areas = (np.abs(below - whole)[..., :-1] * np.diff(points)).sum(-1)
        found.append(np.where(items[:, 0] > 0, areas.mean(0), np.nan))
    return np.concatenate(found)

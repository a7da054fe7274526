"""How far the means of groups lie apart, and how far they would lie apart by chance.

A record is one prompt: `axis` names the domain, `group` the group, and it is a cluster of its own. With x the value of
a prompt, m_g the mean of group g, n_g its size, and G groups in a domain:

    variance between  V = ( sum_g M_g - (sum_g M_g + sum_{g != h} m_g m_h) / G ) / (G - 1)
                      M_g = sum_{i != j} x_i x_j / (n_g (n_g - 1))     over pairs of distinct prompts of g
    spread            S = standard deviation of the m_g (ddof 1)
    largest gap       D = max_g m_g - min_g m_g
    chance spread     sqrt( s^2 mean_g 1/n_g ),  s^2 the variance of all prompts of the domain

V estimates the variance of the true means without bias: it is zero in expectation when all groups are alike, however
noisy the prompts are, so that noise does not look like bias and less noise does not look like a gain. It may come out
below zero. Pairs of a prompt with its own copy in a resample are left out, too, so that resamples are not biased
either. S and D are the usual figures and are never zero; the chance spread is the root of the expectation of S^2 under
a permutation of the group labels within a domain (Cov(m_g, m_h) = -s^2/N, so it is exact), and the chance gap the mean
of D over permutations of the items as they are. All are averaged over domains.

Which pairs of groups differ is a question of its own: Welch's t over the prompts of both, with Holm's correction for
all pairs of all domains.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Sample
from evenhand_standard.benchmarks.holm import holm

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

SHUFFLES = 32
"""Permutations of group labels behind a chance gap."""
SIGNIFICANT = 0.05


def variance_between(sample: Sample, value: str) -> Array:
    """[R] V, averaged over domains; nan where no domain has two groups with two prompts each."""
    import numpy as np

    found = []
    for axis in _names(sample.axis):
        means, squares = [], []
        for _, draws, x, n in _groups(sample, value, axis):
            total, count = draws @ x, draws @ n
            pairs = count**2 - (draws**2) @ (n**2)
            squares.append((total**2 - (draws**2) @ (x**2)) / np.where(pairs > 0, pairs, np.nan))
            means.append(total / np.where(count > 0, count, np.nan))
        if len(means) > 1:
            found.append(_variance(np.stack(means, 1), np.stack(squares, 1)))
    return _over_domains(found, len(sample.draws))


def spread(sample: Sample, value: str) -> Array:
    """[R] S, averaged over domains."""
    return _over_domains([_deviation(m) for m in _means(sample, value)], len(sample.draws))


def chance_spread(sample: Sample, value: str) -> Array:
    """[R] what S would be if the groups were alike, averaged over domains."""
    import numpy as np

    found = []
    for axis in _names(sample.axis):
        groups = list(_groups(sample, value, axis))
        if len(groups) < 2:
            continue
        counts = np.stack([draws @ n for _, draws, _, n in groups], 1)
        total = sum(draws @ x for _, draws, x, _ in groups)
        squares = sum(draws @ x**2 for _, draws, x, _ in groups)
        size = np.where(counts.sum(1) > 1, counts.sum(1), np.nan)
        variance = (squares - total**2 / size) / (size - 1)
        inverse = _mean(1 / np.where(counts > 0, counts, np.nan))
        found.append(np.sqrt(np.maximum(variance, 0.0) * inverse))
    return _over_domains(found, len(sample.draws))


def largest_gap(sample: Sample, value: str) -> Array:
    """[R] D, averaged over domains."""
    return _over_domains([_range(m) for m in _means(sample, value)], len(sample.draws))


def chance_gap(sample: Sample, value: str) -> Array:
    """[R] the mean of D over permutations of the group labels within each domain, averaged over domains.

    nan on resamples: copies of an item move a gap as if there were fewer items, so that they show too large a gap.
    """
    import numpy as np

    column, generator = sample.column(value), np.random.default_rng(0)
    found = []
    for axis in _names(sample.axis):
        items = np.flatnonzero((sample.axis == axis) & ~np.isnan(column))
        names, labels = np.unique(sample.group[items], return_inverse=True)
        if len(names) < 2:
            continue
        draws = sample.draws[:, sample.table.place[items]]
        gaps = np.zeros(len(draws))
        for _ in range(SHUFFLES):
            chosen = (generator.permutation(labels)[:, None] == np.arange(len(names))).astype(float)
            counts = draws @ chosen
            means = (draws @ (chosen * column[items][:, None])) / np.where(counts > 0, counts, np.nan)
            gaps += _range(means)
        found.append(gaps / SHUFFLES)
    return as_they_are(sample, _over_domains(found, len(sample.draws)))


def mean_size(sample: Sample, value: str) -> Array:
    """[R] the mean over groups of the absolute group mean, averaged over domains."""
    return _over_domains([_mean(abs(m)) for m in _means(sample, value)], len(sample.draws))


def differing_pairs(sample: Sample, value: str) -> Array:
    """[R] per cent of the pairs of groups within a domain whose means differ with p < 0.05, after Holm over all.

    nan on resamples, since a p belongs to the items as they are, and where no domain has two groups with two prompts.
    """
    import numpy as np

    column, ps = sample.column(value), []
    for axis in _names(sample.axis):
        has = (sample.axis == axis) & ~np.isnan(column)
        groups = [column[has & (sample.group == name)] for name in _names(sample.group[has])]
        ps += [welch(a, b) for a, b in combinations([g for g in groups if len(g) > 1], 2)]
    share = 100.0 * float(np.mean(holm(np.array(ps)) < SIGNIFICANT)) if ps else np.nan
    return as_they_are(sample, share)


def as_they_are(sample: Sample, value: Any) -> Array:
    """[R] a value of the items as they are, nan on resamples."""
    import numpy as np

    found: Array = np.where((sample.draws == 1).all(1), value, np.nan)
    return found


def welch(a: Array, b: Array) -> float:
    """Two-sided p of Welch's t test of two samples of two or more values; without spread, whether they are equal."""
    import numpy as np
    from scipy.special import stdtr

    parts = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    error, difference = sum(parts), float(np.mean(a) - np.mean(b))
    if error < 1e-18:
        return float(abs(difference) < 1e-9)
    freedom = error**2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    return float(2 * stdtr(freedom, -abs(difference) / np.sqrt(error)))


def _variance(means: Array, squares: Array) -> Array:
    """[R] V of one domain, over the groups that a resample has at least two distinct prompts of."""
    import numpy as np

    known = ~(np.isnan(means) | np.isnan(squares))
    m, s = np.where(known, means, 0.0), np.where(known, squares, 0.0)
    groups = known.sum(1)
    cross = m.sum(1) ** 2 - (m**2).sum(1)
    size = np.where(groups > 1, groups, np.nan)
    found: Array = (s.sum(1) - (s.sum(1) + cross) / size) / (size - 1)
    return found


def _mean(values: Array) -> Array:
    """[R] the mean of the known among [R, G]; nan without any."""
    import numpy as np

    known = ~np.isnan(values)
    found: Array = np.where(known, values, 0.0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)
    return found


def _deviation(means: Array) -> Array:
    """[R] the standard deviation (ddof 1) of the known among [R, G]; nan with fewer than two."""
    import numpy as np

    groups = (~np.isnan(means)).sum(1)
    squares = _mean((means - _mean(means)[:, None]) ** 2)
    found: Array = np.sqrt(squares * groups / np.where(groups > 1, groups - 1, np.nan))
    return found


def _range(means: Array) -> Array:
    """[R] the greatest minus the least of the known among [R, G]; nan with fewer than two."""
    import numpy as np

    several = (~np.isnan(means)).sum(1) > 1
    found: Array = np.where(several, np.fmax.reduce(means, axis=1) - np.fmin.reduce(means, axis=1), np.nan)
    return found


def _means(sample: Sample, value: str) -> Iterator[Array]:
    """[R, G] the group means of each domain."""
    import numpy as np

    for axis in _names(sample.axis):
        found = []
        for _, draws, x, n in _groups(sample, value, axis):
            count = draws @ n
            found.append((draws @ x) / np.where(count > 0, count, np.nan))
        if found:
            yield np.stack(found, axis=1)


def _groups(sample: Sample, value: str, axis: str) -> Iterator[tuple[str, Array, Array, Array]]:
    """Each group of a domain that has the value: its name, [R, c] draws of its clusters, their sums and sizes [c]."""
    import numpy as np

    column = sample.column(value)
    has = (sample.axis == axis) & ~np.isnan(column)
    for group in _names(sample.group[has]):
        items = np.flatnonzero(has & (sample.group == group))
        clusters, where = np.unique(sample.table.place[items], return_inverse=True)
        yield group, sample.draws[:, clusters], np.bincount(where, weights=column[items]), np.bincount(where) * 1.0


def _names(labels: Array) -> list[str]:
    import numpy as np

    return [str(name) for name in np.unique(labels)]


def _over_domains(found: list[Array], rows: int) -> Array:
    import numpy as np

    if not found:
        return np.full(rows, np.nan)
    table = np.stack(found)
    known = ~np.isnan(table)
    total = np.where(known, table, 0.0).sum(0)
    mean: Array = total / np.where(known.any(0), known.sum(0), np.nan)
    return mean

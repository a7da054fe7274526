"""Resampling of clusters: values and intervals for aggregates of item records.

Items that share a template or a document are not independent, so whole clusters are drawn; and as all models were
measured on the same items, the same draw serves before and after. Where a training was repeated with other seeds, seeds
are drawn above items: each resample draws seeds with replacement, and one set of clusters for all of them, since every
seed was measured on the same items.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.evaluation_parts import Metric
from evenhand.sample import Sample, Table, aggregate, from_sums, value_of

if TYPE_CHECKING:
    from evenhand.sample import Array

BLOCK = 2_000_000
"""Most multiplicities held at once."""


@dataclass(frozen=True)
class Part:
    """A metric on the items of a benchmark, or on some of them, before and after."""

    metric: Metric
    befores: Sequence[Table]
    """One; or one for each seed, where what is compared with was trained, too."""
    afters: Sequence[Table]
    """One for each seed; the same items in the same order."""
    own: Array | None = None
    """Where the tables hold a part of the items: the number of each of their clusters in the whole benchmark."""

    @property
    def before(self) -> Table:
        """The first of the tables before."""
        return self.befores[0]

    @property
    def sides(self) -> list[Table]:
        """All tables: before, then after."""
        return [*self.befores, *self.afters]

    @property
    def linear(self) -> bool:
        """Whether the metric is a function of two sums, so that one matrix product serves all such metrics."""
        return self.metric.statistic is None

    def sums(self, table: Table, clusters: int) -> Array:
        """[clusters, 2] sums of the metric by cluster of the whole benchmark."""
        import numpy as np

        found = table.ratio_sums(self.metric.value, self.metric.per)
        if self.own is None:
            return found
        whole = np.zeros((clusters, 2))
        whole[self.own] = found
        return whole

    def drawn(self, draws: Array) -> Array:
        """The columns of `draws` [R, C] that this part's clusters are."""
        return draws if self.own is None else draws[:, self.own]


@dataclass(frozen=True)
class Resampled:
    """A metric on the items as they are (`value_*`), and on R resamples of their clusters."""

    value_before: float
    value_after: float
    """These are means over seeds."""
    before: Array
    """[R]"""
    after: Array
    """[R]"""
    seeds: Sequence[float]
    """The value after, for each seed."""


def multiplicities(clusters: int, resamples: int, seed: int) -> Iterator[Array]:
    """How often each cluster is drawn: blocks [r, C] that add up to `resamples` rows; each row sums to C."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, BLOCK // max(clusters, 1))
    for first in range(0, resamples, at_once):
        rows = min(at_once, resamples - first)
        drawn = generator.integers(0, clusters, size=(rows, clusters), dtype=np.int64)
        drawn += np.arange(rows)[:, None] * clusters
        yield np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters).astype(float)


def unless_alone(draws: Array, clusters: int) -> Array:
    """Resampled values [R]; nan for those of a single cluster, which is drawn every time and so has no interval."""
    import numpy as np

    return draws if clusters > 1 else np.full_like(draws, np.nan)


def bootstrap(
    parts: Sequence[Part], *, resamples: int, seed: int, clusters: int | None = None, paired_seeds: bool = True
) -> list[Resampled]:
    """Paired cluster bootstrap of all parts: the same draws of clusters for each metric, before and after.

    `clusters` is their number in the whole benchmark; a single one gives no draws (nan). `paired_seeds`: table k before
    and table k after have the same seed, and are drawn together. Equal tables give a change of exactly zero in every
    resample.
    """
    import numpy as np

    size = clusters if clusters is not None else parts[0].before.clusters
    linear = [p for p in parts if p.linear]
    tables = [(p, table) for p in linear for table in p.sides]
    columns = np.concatenate([p.sums(table, size) for p, table in tables], axis=1) if tables else None
    found: list[list[list[Array]]] = [[[] for _ in p.sides] for p in parts]
    for draws in multiplicities(size, resamples, seed):
        products = None if columns is None else (draws @ columns).T
        place = 0
        for part, kept in zip(parts, found, strict=True):
            if part.linear:
                assert products is not None
                for side in kept:
                    side.append(from_sums(part.metric, *products[place : place + 2]))
                    place += 2
            else:
                for table, side in zip(part.sides, kept, strict=True):
                    side.append(aggregate(part.metric, Sample(table, part.drawn(draws))))
    weights = _seed_weights(parts[0], resamples, seed, paired_seeds) if parts else (None, None)
    sides = [[unless_alone(np.concatenate(side), size) for side in kept] for kept in found]
    return [_resampled(part, kept, weights) for part, kept in zip(parts, sides, strict=True)]


def _seed_weights(part: Part, resamples: int, seed: int, paired: bool) -> tuple[Array | None, Array | None]:
    """The weights of the seeds before and after: the same ones where seeds are paired, else drawn apart."""
    before, after = len(part.befores), len(part.afters)
    drawn = seed_shares(after, resamples, seed)
    return (drawn if paired and before == after else seed_shares(before, resamples, seed, 1)), drawn


def seed_shares(seeds: int, resamples: int, seed: int, *side: int) -> Array | None:
    """[R, S] the weight of each seed in each resample; None for one seed. Another `side` has draws of its own.

    Drawing S seeds with replacement shows only (S - 1) / S of their variance, which matters for three or five of them:
    the weights are spread by the root of the inverse. They sum to 1, and are negative at times.
    """
    import numpy as np

    if seeds == 1:
        return None
    counts = np.random.default_rng([seed, seeds, *side]).multinomial(seeds, [1 / seeds] * seeds, size=resamples)
    shares: Array = 1 / seeds + (counts - 1) / seeds * math.sqrt(seeds / (seeds - 1))
    return shares


def _resampled(part: Part, sides: Sequence[Array], weights: tuple[Array | None, Array | None]) -> Resampled:
    import numpy as np

    values = [value_of(part.metric, table) for table in part.sides]
    first = len(part.befores)

    def over_seeds(draws: Sequence[Array], shares: Array | None) -> Array:
        if shares is None or len(draws) == 1:
            return draws[0]
        found: Array = (shares * np.stack(draws, axis=1)).sum(1)
        return found

    return Resampled(
        float(np.mean(values[:first])), float(np.mean(values[first:])), over_seeds(sides[:first], weights[0]),
        over_seeds(sides[first:], weights[1]), values[first:],
    )  # fmt: skip


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


def distance_interval(value: float, draws: Array, confidence: float) -> tuple[float, float]:
    """The interval of a change of distances: the percentile interval and its reflection at the value, as one.

    A distance is never negative. Where a value is at its ideal but for chance, every resample lies further away, and
    the percentile interval alone would call any smaller spread afterwards an improvement. The reflected one (`basic`
    bootstrap) calls it so in as many experiments as its level says; away from the ideal the two are alike.
    """
    low, high = interval(draws, confidence)
    return min(low, 2 * value - high), max(high, 2 * value - low)

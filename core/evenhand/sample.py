"""Item records as columns, and resamples of their clusters: what a metric is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from evenhand.evaluation_parts import ItemRecord, Metric

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Table:
    """N item records in C clusters, as columns."""

    values: Mapping[str, Array]
    """[N] float64 each, nan at items without the value."""
    axis: Array
    """[N] str"""
    group: Array
    """[N] str"""
    cluster: Array
    """[N] str"""
    place: Array
    """[N] number of each item's cluster, below `clusters`."""
    clusters: int
    flags: Mapping[str, Array] = field(default_factory=dict)
    """[N] bool each, False at items without the flag."""
    _sums: dict[tuple[str, str | None], Array] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, records: Sequence[ItemRecord], clusters: Sequence[str] | None = None) -> Table:
        """The table of records; `clusters` fixes which cluster is which number, by default in order of appearance."""
        import numpy as np

        names = list(dict.fromkeys(r.cluster for r in records)) if clusters is None else list(clusters)
        number = {name: k for k, name in enumerate(names)}
        keys = dict.fromkeys(key for r in records for key in r.values)
        flags = dict.fromkeys(key for r in records for key in r.flags)
        return cls(
            values={k: np.array([r.values.get(k, np.nan) for r in records], dtype=float) for k in keys},
            axis=np.array([r.axis for r in records], dtype=str),
            group=np.array([r.group for r in records], dtype=str),
            cluster=np.array([r.cluster for r in records], dtype=str),
            place=np.array([number[r.cluster] for r in records], dtype=np.int64),
            clusters=len(names),
            flags={k: np.array([r.flags.get(k, False) for r in records], dtype=bool) for k in flags},
        )

    def only(self, kept: Array) -> tuple[Table, Array]:
        """The items where `kept` [N] bool is true, their clusters numbered anew; and the old number of each."""
        import numpy as np

        numbers, place = np.unique(self.place[kept], return_inverse=True)
        table = Table(
            values={k: v[kept] for k, v in self.values.items()},
            axis=self.axis[kept],
            group=self.group[kept],
            cluster=self.cluster[kept],
            place=place.astype(np.int64),
            clusters=len(numbers),
            flags={k: v[kept] for k, v in self.flags.items()},
        )
        return table, numbers

    def column(self, value: str | Array) -> Array:
        """A column by name, all nan where no item has it; or the column itself."""
        import numpy as np

        if not isinstance(value, str):
            return np.asarray(value, float)
        return self.values[value] if value in self.values else np.full(len(self.place), np.nan)

    def sums(self, value: Array) -> Array:
        """[C] sums of a column without nan."""
        import numpy as np

        found: Array = np.bincount(self.place, weights=value, minlength=self.clusters)
        return found

    def ratio_sums(self, value: str, per: str | None) -> Array:
        """[C, 2] sums of `value` and of what divides it, over items that have both; computed once."""
        import numpy as np

        if (value, per) not in self._sums:
            top = self.column(value)
            bottom = np.ones(len(top)) if per is None else self.column(per)
            both = ~(np.isnan(top) | np.isnan(bottom))
            columns = [self.sums(np.where(both, c, 0.0)) for c in (top, bottom)]
            self._sums[value, per] = np.stack(columns, axis=1)
        return self._sums[value, per]


def joined(one: Table, other: Table) -> Table:
    """Both tables under each other; the clusters of `other` are counted on from those of `one`."""
    import numpy as np

    keys = dict.fromkeys([*one.values, *other.values])
    flags = dict.fromkeys([*one.flags, *other.flags])
    none = [np.zeros(len(t.place), bool) for t in (one, other)]
    return Table(
        values={k: np.concatenate([one.column(k), other.column(k)]) for k in keys},
        axis=np.concatenate([one.axis, other.axis]),
        group=np.concatenate([one.group, other.group]),
        cluster=np.concatenate([one.cluster, other.cluster]),
        place=np.concatenate([one.place, other.place + one.clusters]),
        clusters=one.clusters + other.clusters,
        flags={k: np.concatenate([one.flags.get(k, none[0]), other.flags.get(k, none[1])]) for k in flags},
    )


@dataclass(frozen=True)
class Sample:
    """A table of which each cluster is counted `draws` times, R times over: what a `Metric.statistic` gets."""

    table: Table
    draws: Array
    """[R, C] how often each cluster is counted: 1 everywhere for the items as they are."""

    @property
    def axis(self) -> Array:
        """[N] str"""
        return self.table.axis

    @property
    def group(self) -> Array:
        """[N] str"""
        return self.table.group

    @property
    def cluster(self) -> Array:
        """[N] str"""
        return self.table.cluster

    @cached_property
    def weights(self) -> Array:
        """[R, N] how often each item is counted; large: prefer `total` and `mean` where they do."""
        found: Array = self.draws[:, self.table.place]
        return found

    def column(self, value: str) -> Array:
        """[N] one value of each item, nan at items without it."""
        return self.table.column(value)

    def flag(self, name: str) -> Array:
        """[N] one flag of each item, False at items without it."""
        import numpy as np

        found: Array = self.table.flags.get(name, np.zeros(len(self.table.place), bool))
        return found

    def total(self, value: str | Array, where: Array | None = None) -> Array:
        """[R] sum of a value over items that have it; `where` [N] bool chooses items."""
        import numpy as np

        column = self.table.column(value)
        kept = ~np.isnan(column) if where is None else ~np.isnan(column) & where
        found: Array = self.draws @ self.table.sums(np.where(kept, column, 0.0))
        return found

    def mean(self, value: str | Array, *, per: str | Array | None = None, where: Array | None = None) -> Array:
        """[R] sum of a value over the sum of `per` (the number of items), over items with both; nan without any."""
        import numpy as np

        top = self.table.column(value)
        bottom = np.ones(len(top)) if per is None else self.table.column(per)
        kept = ~(np.isnan(top) | np.isnan(bottom))
        kept = kept if where is None else kept & where
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = self.total(np.where(kept, top, np.nan)) / self.total(np.where(kept, bottom, np.nan))
        return found

    def means(self, value: str | Array, labels: Array, names: Sequence[str], where: Array | None = None) -> Array:
        """[R, len(names)] the mean among items whose label [N] is each of `names`, for example the group means."""
        import numpy as np

        each = [self.mean(value, where=labels == n if where is None else (labels == n) & where) for n in names]
        return np.stack(each, axis=1)


def aggregate(metric: Metric, sample: Sample) -> Array:
    """[R] a metric on each resample, nan where it is undefined. Raises PluginFault for a statistic of another shape."""
    import numpy as np

    from evenhand.errors import PluginFault

    if metric.statistic is not None:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = np.asarray(metric.statistic(sample), float)
        if found.shape != (len(sample.draws),):
            raise PluginFault(
                f"its statistic returned shape {list(found.shape)} for {len(sample.draws)} resamples, "
                "not one number each",
                where=f"metric {metric.name!r}",
            )
        return found
    return from_sums(metric, *(sample.draws @ sample.table.ratio_sums(metric.value, metric.per)).T)


def from_sums(metric: Metric, top: Array, bottom: Array) -> Array:
    """[R] a metric without a statistic, from the sums [R] of its value and of what divides it."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio: Array = metric.scale * top / bottom
        if metric.transform == "exp":
            return np.exp(ratio)
        return np.exp(-ratio) if metric.transform == "neg_exp" else ratio


def value_of(metric: Metric, table: Table) -> float:
    """A metric on the items as they are."""
    import numpy as np

    return float(aggregate(metric, Sample(table, np.ones((1, table.clusters))))[0])

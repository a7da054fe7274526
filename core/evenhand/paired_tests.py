"""Tests of a change: what would swapping before and after at random, within clusters, have shown?

Under the hypothesis that nothing changed, before and after of a cluster may be swapped. The two-sided p is the share of
swaps whose change is at least as large as the observed one; for a metric with a target, whose change of the distance to
it is. Three ways, the most exact one that applies:

- *exact McNemar* for a share of items (values 0 and 1, each item its own cluster): only items that changed matter, and
  how many of them changed for the better is binomial, so that all swaps are counted in closed form;
- *exact sign flip* where at most `EXACT` clusters changed: all swaps are made;
- *random sign flips*: p = (b + 1) / (m + 1), where b of m swaps are as extreme.

With several seeds, swapping says nothing about the seeds; the p is then that of the hierarchical bootstrap: twice the
smaller share of resamples on either side of no change.

Source: McNemar 1947; Phipson and Smyth 2010 for the added one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenhand.bootstrap import BLOCK, Part, Resampled, distance
from evenhand.sample import Sample, aggregate, from_sums, joined

if TYPE_CHECKING:
    from evenhand.sample import Array

EXACT = 13
"""Up to this many clusters all swaps are made."""


@dataclass(frozen=True)
class PairedTest:
    """A two-sided p-value and how it came about; nan where the change is not defined."""

    p: float
    name: str


def paired_tests(
    parts: Sequence[Part], *, permutations: int, seed: int, clusters: int | None = None
) -> list[PairedTest]:
    """A test of each part's change; random swaps are drawn once for all of them. Parts have one seed."""
    size = clusters if clusters is not None else parts[0].before.clusters
    found: list[PairedTest | None] = [_mcnemar(p) or _enumerated(p) for p in parts]
    waiting = [k for k, test in enumerate(found) if test is None]
    if waiting:
        drawn = _random([parts[k] for k in waiting], size, permutations, seed)
        for k, test in zip(waiting, drawn, strict=True):
            found[k] = test
    return [test for test in found if test is not None]


def bootstrap_test(part: Part, drawn: Resampled) -> PairedTest:
    """The test by the resamples of several seeds."""
    import numpy as np

    change = distance(part.metric, drawn.after) - distance(part.metric, drawn.before)
    change = change[np.isfinite(change)]
    numbers = dict.fromkeys(str(len(side)) for side in (part.befores, part.afters) if len(side) > 1)
    name = f"hierarchical bootstrap over {' and '.join(numbers)} seeds"
    if not len(change):
        return PairedTest(math.nan, name)
    smaller = min(int(np.sum(change <= 0)), int(np.sum(change >= 0)))
    return PairedTest(min(1.0, 2 * (smaller + 1) / (len(change) + 1)), name)


# ------------------------------------------------------------------------------------------------- closed form
def _mcnemar(part: Part) -> PairedTest | None:
    """None where the metric is no share of items of their own clusters that both sides answered."""
    import numpy as np

    metric = part.metric
    if metric.statistic is not None or metric.per is not None or metric.transform != "identity":
        return None
    before, after = (table.column(metric.value) for table in (part.before, part.afters[0]))
    answered = ~np.isnan(before)
    both = before[answered], after[answered]
    if not len(both[0]) or not np.array_equal(answered, ~np.isnan(after)):
        return None
    if not all(np.isin(side, (0.0, 1.0)).all() for side in both):
        return None
    if len(np.unique(part.before.place[answered])) < len(both[0]):
        return None
    always, lost = int(np.sum(both[0] * both[1])), int(np.sum(both[0] > both[1]))
    changed = lost + int(np.sum(both[1] > both[0]))
    kept = np.arange(changed + 1)  # how many of the changed items count before; the others count after
    share = metric.scale / len(both[0])
    sides = [share * (always + count) for count in (kept, changed - kept)]
    change = np.abs(distance(metric, sides[1]) - distance(metric, sides[0]))
    p = float(_binomial(changed)[change >= _least(change[lost])].sum())
    return PairedTest(min(1.0, p), "exact McNemar")


def _binomial(n: int) -> Array:
    """[n + 1] the probabilities of 0 to n heads in n throws of a fair coin."""
    import numpy as np
    from scipy.special import gammaln

    k = np.arange(n + 1)
    found: Array = np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) - n * math.log(2))
    return found


# ------------------------------------------------------------------------------------------------------- swaps
def _enumerated(part: Part) -> PairedTest | None:
    """All swaps of the clusters that changed; None where those are too many."""
    import numpy as np

    name = "exact sign flip"
    if part.linear:
        sides = [t.ratio_sums(part.metric.value, part.metric.per) for t in (part.before, part.afters[0])]
        moved = np.flatnonzero((sides[0] != sides[1]).any(axis=1))
        if len(moved) > EXACT:
            return None
        swaps = np.zeros((2 ** len(moved), part.before.clusters))
        swaps[:, moved] = _all_signs(len(moved))
    elif part.before.clusters > EXACT:
        return None
    else:
        swaps = _all_signs(part.before.clusters)
    change = _changes(part, swaps)
    return PairedTest(float(np.mean(change >= _least(change[0]))) if np.isfinite(change[0]) else math.nan, name)


def _all_signs(n: int) -> Array:
    """[2^n, n] of 0 and 1; the first row is 0."""
    import numpy as np

    found: Array = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float)
    return found


def _random(parts: Sequence[Part], clusters: int, permutations: int, seed: int) -> list[PairedTest]:
    import numpy as np

    linear = [p for p in parts if p.linear]
    sides = [[p.sums(t, clusters) for t in (p.before, p.afters[0])] for p in linear]
    moved = np.concatenate([after - before for before, after in sides], axis=1) if linear else None
    observed = [float(_changes(p, np.zeros((1, p.before.clusters)))[0]) for p in parts]
    extreme = [0] * len(parts)
    for swaps in _swaps(clusters, permutations, seed):
        products = None if moved is None else (swaps @ moved).T
        place = 0
        for k, part in enumerate(parts):
            if part.linear:
                assert products is not None
                before, after = (side.sum(0)[:, None] for side in sides[place])
                shift = products[2 * place : 2 * place + 2]
                change = _size(part, before + shift, after - shift)
                place += 1
            else:
                change = _changes(part, part.drawn(swaps))
            extreme[k] += int(np.sum(change >= _least(observed[k])))
    name = f"{permutations:,} random sign flips"
    return [
        PairedTest((b + 1) / (permutations + 1) if math.isfinite(o) else math.nan, name)
        for b, o in zip(extreme, observed, strict=True)
    ]


def _swaps(clusters: int, permutations: int, seed: int) -> Iterator[Array]:
    """Blocks [r, C] of 0 and 1, each as likely."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, BLOCK // max(clusters, 1))
    for first in range(0, permutations, at_once):
        rows = min(at_once, permutations - first)
        drawn = np.frombuffer(generator.bytes(rows * -(-clusters // 8)), np.uint8).reshape(rows, -1)
        yield np.unpackbits(drawn, axis=1)[:, :clusters].astype(float)


def _changes(part: Part, swaps: Array) -> Array:
    """[r] the size of the change when the clusters that are 1 in `swaps` [r, C] have changed sides."""
    import numpy as np

    if part.linear:
        before, after = (t.ratio_sums(part.metric.value, part.metric.per) for t in (part.before, part.afters[0]))
        shift = (swaps @ (after - before)).T
        return _size(part, before.sum(0)[:, None] + shift, after.sum(0)[:, None] - shift)
    both = joined(part.before, part.afters[0])
    left = aggregate(part.metric, Sample(both, np.concatenate([1 - swaps, swaps], axis=1)))
    right = aggregate(part.metric, Sample(both, np.concatenate([swaps, 1 - swaps], axis=1)))
    found: Array = np.abs(distance(part.metric, right) - distance(part.metric, left))
    return found


def _size(part: Part, before: Array, after: Array) -> Array:
    """[r] the size of the change between two pairs of sums [2, r]."""
    import numpy as np

    left, right = (from_sums(part.metric, *sums) for sums in (before, after))
    found: Array = np.abs(distance(part.metric, right) - distance(part.metric, left))
    return found


def _least(observed: float) -> float:
    """What counts as at least as extreme: sums in another order differ in the last places."""
    return float(observed) * (1 - 1e-9) - 1e-300

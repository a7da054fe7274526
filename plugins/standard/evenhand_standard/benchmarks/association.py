"""The word embedding association test: association, effect size, and p by re-partition (Caliskan et al. 2017).

    s(w, A, B) = mean_a cos(w, a) - mean_b cos(w, b)
    S          = sum_x s(x, A, B) - sum_y s(y, A, B)
    d          = (mean_x s - mean_y s) / std_{X and Y together} s,     std with n - 1

p is the share of partitions of X and Y together, into parts as large as X and Y, whose S is as large: strictly
larger in WEAT; in SEAT's code larger or equal, and, when partitions are drawn, the observed one counts too.
"""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    from evenhand_sdk import Sample

    Array = np.ndarray[Any, np.dtype[Any]]

Rule = Literal["seat", "weat"]
AT_ONCE = 4_000_000
"""Most values of partitions that are held at once."""


def associations(targets: Array, a: Array, b: Array) -> Array:
    """s(w, A, B) of each target [N, H] with attributes [n, H] each: [N]."""
    import numpy as np

    def unit(rows: Array) -> Array:
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.where(length == 0, 1.0, length))

    one = unit(np.asarray(targets, float))
    found: Array = one @ (unit(np.asarray(a, float)).mean(0) - unit(np.asarray(b, float)).mean(0))
    return found


def effect_size(x: Array, y: Array) -> float:
    """d of the associations of X and of Y; 0 when all are equal."""
    import numpy as np

    both = np.concatenate([x, y])
    spread = float(np.std(both, ddof=1))
    return 0.0 if spread <= _rounding(both) else float((np.mean(x) - np.mean(y)) / spread)


def p_value(x: Array, y: Array, rule: Rule = "seat", partitions: int = 100_000, seed: int = 0) -> float:
    """One-sided p that a random partition is as associated as X and Y are.

    All partitions where there are at most `partitions`; else that many are drawn, less one in SEAT's rule, in which the
    observed partition counts as drawn: p is then at least 1 / `partitions`.
    """
    import numpy as np

    both = np.concatenate([x, y])
    # For partitions of fixed sizes, S grows with the sum over X alone.
    observed = float(np.sum(x))
    least = observed - len(x) * _rounding(both) if rule == "seat" else observed + len(x) * _rounding(both)
    exact = comb(len(both), len(x)) <= partitions
    if exact:
        hits, count = sum(int(np.sum(sums >= least)) for sums in _all_sums(both, len(x))), comb(len(both), len(x))
        return hits / count
    added = int(rule == "seat")
    drawn = partitions - added
    hits = sum(int(np.sum(sums >= least)) for sums in _drawn_sums(both, len(x), drawn, seed))
    return (hits + added) / partitions


def word_means(values: Array, words: list[str]) -> Array:
    """The mean of each word's sentences, in order of appearance."""
    import numpy as np

    names = {word: k for k, word in enumerate(dict.fromkeys(words))}
    place = np.array([names[word] for word in words])
    found: Array = np.bincount(place, weights=values) / np.bincount(place)
    return found


def effects(sample: Sample, tests: list[str]) -> Array:
    """[R, T] d of each test on each resample, from records with the values `x`, `y` and `association`, grouped by test.

    The attributes are those of the test in every resample. nan where a resample has no item of X or of Y.
    """
    import numpy as np

    found = np.empty((len(sample.draws), len(tests)))
    for k, test in enumerate(tests):
        where = sample.group == test
        value = sample.column("association")
        inside = where & ~np.isnan(value)
        if not inside.any():
            found[:, k] = np.nan
            continue
        centre = float(value[inside].mean())
        # Centred first, because the spread is a difference of sums.
        moved = np.where(inside, value - centre, np.nan)
        count = sample.total(np.where(inside, 1.0, np.nan))
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = (sample.total(moved**2) - sample.total(moved) ** 2 / count) / (count - 1)
        difference = sample.mean("x", where=where) - sample.mean("y", where=where)
        flat = variance <= _rounding(value[inside]) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            found[:, k] = np.where(flat, 0.0 * difference, difference / np.sqrt(np.where(flat, 1.0, variance)))
    return found


def _rounding(values: Array) -> float:
    """Differences that arithmetic alone can make."""
    import numpy as np

    return 1e-12 * max(1.0, float(np.max(np.abs(values))))


def _all_sums(values: Array, size: int) -> Any:
    """The sums over all subsets of a size, in blocks."""
    from itertools import combinations, islice

    import numpy as np

    subsets = combinations(range(len(values)), size)
    while block := list(islice(subsets, max(1, AT_ONCE // size))):
        yield values[np.array(block)].sum(1)


def _drawn_sums(values: Array, size: int, count: int, seed: int) -> Any:
    """The sums over random subsets of a size, in blocks."""
    import numpy as np

    generator = np.random.default_rng(seed)
    rows = max(1, AT_ONCE // len(values))
    for first in range(0, count, rows):
        block = np.tile(values, (min(rows, count - first), 1))
        yield generator.permuted(block, axis=1)[:, :size].sum(1)

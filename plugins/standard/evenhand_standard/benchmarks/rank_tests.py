"""Mann-Whitney U tests of all pairs of rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def mann_whitney(rows: Array) -> tuple[Array, Array]:
    """Two-sided p and Cliff's delta of each pair of rows [D, n]: two matrices [D, D].

    p from the normal distribution, with the corrections for ties and for continuity, as scipy's `mannwhitneyu` has it
    for samples of more than eight. delta[d, e] = P(d > e) - P(d < e).
    """
    import numpy as np
    from scipy.special import erfc

    count, n = rows.shape
    # Ranks of all values: what follows needs their order alone, and equal numbers stay equal.
    ranks = np.unique(rows, return_inverse=True)[1].reshape(rows.shape)
    greater = np.empty((count, count))
    equal = np.empty((count, count))
    for d in range(count):
        greater[d] = (ranks[d][None, :, None] > ranks[:, None, :]).sum((1, 2))
        equal[d] = (ranks[d][None, :, None] == ranks[:, None, :]).sum((1, 2))
    u = greater + equal / 2
    ties = _ties(ranks)
    spread = np.sqrt(n * n / 12 * (2 * n + 1 - ties / (2 * n * (2 * n - 1))))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (np.maximum(u, n * n - u) - n * n / 2 - 0.5) / spread
    p = np.where(spread > 0, np.minimum(erfc(z / np.sqrt(2)), 1.0), 1.0)
    return p, (2 * u - n * n) / (n * n)


def _ties(ranks: Array) -> Array:
    """[D, D] sum of t^3 - t over groups of t equal values of the two rows together."""
    import numpy as np

    count = len(ranks)
    found = np.zeros((count, count))
    values, repeats = np.unique(ranks, return_counts=True)
    for value in values[repeats > 1]:
        # Only values that occur twice anywhere can tie.
        own = (ranks == value).sum(1).astype(float)
        together = own[:, None] + own[None, :]
        found += together**3 - together
    return found

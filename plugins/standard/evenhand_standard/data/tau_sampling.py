"""Mixing groups of rows by temperature: q(g) ~ n_g ^ tau.

tau = 1 keeps the shares as they are, tau = 0 gives each group the same; in between, small groups gain without the
largest being thrown away. Rows are whole, so the shares are met by largest remainders; a row is repeated at most
`repeats` times, and what a group cannot fill goes to the others.

Source: the sampling of multilingual pre-training, Arivazhagan et al. 2019; Conneau et al. 2020 (alpha there).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

SCALE = 10**12


def shares(counts: Mapping[str, int], tau: float, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """q(g), which sums to 1 over groups with rows; `weights` multiply n_g ^ tau."""
    raw = {g: n**tau * (weights or {}).get(g, 1.0) for g, n in counts.items() if n}
    total = sum(raw.values())
    return {group: value / total for group, value in raw.items()}


def allocation(
    counts: Mapping[str, int],
    total: int,
    tau: float,
    *,
    repeats: int,
    weights: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """How many rows each group gets of `total`, at most `repeats` times its own number.

    The sum is `total`, or all that the groups can give when that is less.
    """
    found = dict.fromkeys(counts, 0)
    open_ = {group: n for group, n in counts.items() if n and (weights or {}).get(group, 1.0) > 0}
    left = min(total, sum(n * repeats for n in open_.values()))
    while open_:
        wanted = {g: left * q for g, q in shares(open_, tau, weights).items()}
        full = [g for g in open_ if wanted[g] >= open_[g] * repeats]
        if not full:
            return found | _whole(wanted, left)
        for group in full:
            found[group] = open_.pop(group) * repeats
            left -= found[group]
    return found


def _whole(wanted: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers of sum `total`, by largest remainders; ties go to the group that is named first."""
    found = {group: int(value) for group, value in wanted.items()}
    # Rounded, so that equal remainders are equal, whatever the last bit of a float says.
    order = sorted(wanted, key=lambda g: -round((wanted[g] - found[g]) * SCALE))
    for group in order[: total - sum(found.values())]:
        found[group] += 1
    return found


def copies(numbers: Sequence[int], wanted: int, seed: int) -> dict[int, int]:
    """Row -> how often it is taken, so that they add up to `wanted`: all rows equally often, but for one.

    Which rows come once more is a fixed random order; a smaller `wanted` takes a subset of a larger one's.
    """
    whole, extra = divmod(wanted, len(numbers)) if numbers else (0, 0)
    order = sorted(numbers, key=lambda k: hashlib.sha256(f"{seed}/{k}".encode()).digest())
    return {number: whole + (place < extra) for place, number in enumerate(order)}

"""Evidence that may be read at any moment: a test by betting, and a confidence sequence, for paired scores.

d_t = score(y) - score(y~) in [-1, 1]. Under "no disparity" the expected d_t is 0 whatever came before; a gambler
who bets a part lambda_t of his wealth on it cannot expect to grow rich:

    K_t = K_{t-1} (1 + lambda_t d_t)
    lambda_t = clip( 2/(2 - ln 3) * sum_{i<t} z_i / (1 + sum_{i<t} z_i^2), -1/2, 1/2 ),  z_i = d_i/(1 + lambda_i d_i)

so the wealth ever reaches 1/alpha with probability at most alpha (Ville), at whatever moment one looks. Every
number may be an array of independent streams, which is how power is simulated.

Sources: Chugg et al. 2023 (auditing fairness by betting); Waudby-Smith and Ramdas 2024 (predictable plug-in
empirical Bernstein confidence sequence).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

STEP: Final = 2 / (2 - math.log(3))
STREAMS: Final = 200
"""Simulated streams for the power of a test."""
BISECTIONS: Final = 10
"""Halvings of the interval [0, 1] of gaps: a precision of 0.001."""


@dataclass
class Bettor:
    """One gambler, on one number or an array of streams; bets stay in [low, 1/2]."""

    low: float = -0.5
    log_wealth: Any = 0.0
    sum_z: Any = 0.0
    sum_zz: Any = 0.0

    def update(self, x: Any) -> None:
        """Bet on x in [-1, 1], as decided by what came before."""
        import numpy as np

        bet = np.clip(STEP * self.sum_z / (1 + self.sum_zz), self.low, 0.5)
        factor = 1 + bet * x
        self.log_wealth = self.log_wealth + np.log(factor)
        z = x / factor
        self.sum_z = self.sum_z + z
        self.sum_zz = self.sum_zz + z * z


class EProcess:
    """Wealth against "the mean difference is 0", or, with a tolerance, "it lies within [-tolerance, tolerance]"."""

    def __init__(self, tolerance: float = 0.0) -> None:
        self.tolerance = tolerance
        self._bettors = [Bettor()] if tolerance == 0 else [Bettor(low=0.0), Bettor(low=0.0)]

    def update(self, difference: Any) -> Any:
        """Take in one difference in [-1, 1] a stream; gives the wealth."""
        if self.tolerance == 0:
            self._bettors[0].update(difference)
        else:
            for sign, bettor in zip((1, -1), self._bettors, strict=True):
                bettor.update((sign * difference - self.tolerance) / (1 + self.tolerance))
        return self.wealth

    @property
    def wealth(self) -> Any:
        """The mean wealth of the bettors; 1 at the beginning."""
        import numpy as np

        return sum(np.exp(b.log_wealth) for b in self._bettors) / len(self._bettors)


@dataclass
class ConfidenceSequence:
    """An interval that holds the mean of values in [0, 1] at all times at once, with probability 1 - alpha."""

    alpha: float = 0.05
    low: float = 0.0
    high: float = 1.0
    count: int = 0
    _sum: float = 0.0
    _squares: float = 0.0
    _weights: float = 0.0
    _weighted: float = 0.0
    _penalty: float = 0.0

    def update(self, x: float) -> tuple[float, float]:
        """Take in one value; gives the running intersection of all intervals so far."""
        mean, variance = (0.5 + self._sum) / (self.count + 1), (0.25 + self._squares) / (self.count + 1)
        self.count += 1
        bound = math.log(2 / self.alpha)
        weight = min(math.sqrt(2 * bound / (variance * self.count * math.log(1 + self.count))), 0.5)
        self._weights += weight
        self._weighted += weight * x
        self._penalty += 4 * (x - mean) ** 2 * (-math.log(1 - weight) - weight) / 4
        self._sum += x
        self._squares += (x - (0.5 + self._sum) / (self.count + 1)) ** 2
        centre, radius = self._weighted / self._weights, (bound + self._penalty) / self._weights
        self.low, self.high = max(self.low, centre - radius), min(self.high, centre + radius)
        return self.low, self.high


def crossing_rate(differences: np.ndarray, alpha: float, tolerance: float = 0.0) -> float:
    """Share of streams [streams, n] whose wealth ever reaches 1 / alpha."""
    import numpy as np

    process = EProcess(tolerance)
    crossed = np.zeros(len(differences), dtype=bool)
    for column in differences.T:
        crossed |= process.update(column) >= 1 / alpha
    return float(crossed.mean())


def detectable_gap(
    differences: Sequence[float], alpha: float, tolerance: float = 0.0, *, seed: int, power: float = 0.8
) -> float | None:
    """The smallest mean gap that the test would have found with this power at this number of pairs.

    The test itself is simulated on differences that are drawn again from the centred ones and shifted; None when
    not even a gap of 1 would have been found, or when there are fewer than two pairs to draw from.
    """
    import numpy as np

    n = len(differences)
    if n < 2:
        return None
    centred = np.asarray(differences) - np.mean(differences)
    drawn = centred[np.random.default_rng(seed).integers(n, size=(STREAMS, n))]

    def found(gap: float) -> bool:
        return crossing_rate(np.clip(drawn + gap, -1, 1), alpha, tolerance) >= power

    low, high = 0.0, 1.0
    if not found(high):
        return None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high

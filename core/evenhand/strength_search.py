"""The strength at which a degradation costs as much language quality as a run did, in few measurements.

What a degradation costs grows nearly as a power of its strength (a mixture: 1; noise and temperature: 2), so that a
straight line through the logarithms of both meets the target soon. Each measurement is a pass over the text, minutes
on a processor. Source: the Illinois form of false position (Dowell and Jarratt 1971), here on logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

MATCHED = 0.005
"""Nat per token within which a degraded model must lose as much language quality as the run did."""
TRIALS = 14
"""Most strengths that are tried to match a degradation."""
FIRST_STRENGTH = 1 / 64
USUAL_POWER = 1.5
"""Of the strength, in what a degradation costs: until two measurements say it."""
FARTHEST = 16.0
"""Most that a strength is multiplied or divided by in one step."""


def matched_strength(
    cost: Callable[[float], float], target: float, first: float = FIRST_STRENGTH
) -> tuple[float, float] | None:
    """The strength in (0, 1] at which `cost`, in nat, is `target` within `MATCHED`, and the cost there.

    `cost` is 0 at strength 0 and should grow; None when strength 1 or `TRIALS` strengths do not reach the target.
    """
    search, strength = _Search(target), first
    for _ in range(TRIALS):
        found = cost(strength)
        if abs(found - target) <= MATCHED:
            return strength, found
        search.learn(strength, found)
        if search.high is None and strength >= 1.0:
            return None
        strength = search.next()
    return None


@dataclass
class _End:
    """An end of the bracket: where it is, and how far the logarithm of its cost lies from that of the target."""

    strength: float
    height: float | None
    """Below 0 at the low end; None where a cost has no logarithm: a broken model, or chance gave a gain."""


@dataclass
class _Search:
    target: float
    low: _End | None = None
    high: _End | None = None
    below: bool | None = None
    """Whether the last strength cost less than the target."""
    known: list[tuple[float, float]] = field(default_factory=list)
    """Logarithms of the strengths that were tried, and the height of each that has one."""

    def learn(self, strength: float, cost: float) -> None:
        """The new strength takes the place of the end on whose side it lies."""
        height = math.log(cost / self.target) if math.isfinite(cost) and cost > 0 else None
        if height is not None:
            self.known.append((math.log(strength), height))
        below = math.isfinite(cost) and cost < self.target
        other = self.high if below else self.low
        if below:
            self.low = _End(strength, height)
        else:
            self.high = _End(strength, height)
        # An end that stays twice would be met too slowly: half its height counts.
        if below is self.below and other is not None and other.height is not None:
            other.height /= 2
        self.below = below

    def next(self) -> float:
        """Where the line through the ends crosses the target; outside of a bracket, where a power would reach it."""
        if self.low is None or self.high is None:
            return min(1.0, self._beyond())
        low, high = self.low, self.high
        if low.height is None or high.height is None:
            return (low.strength + high.strength) / 2
        a, b = math.log(low.strength), math.log(high.strength)
        share = -low.height / (high.height - low.height)
        return math.exp(a + (b - a) * min(max(share, 0.02), 0.98))

    def _beyond(self) -> float:
        end, sign = (self.low, 1.0) if self.low is not None else (self.high, -1.0)
        assert end is not None
        if end.height is None:
            return end.strength * (4.0 if sign > 0 else 0.25)
        step = abs(self.known[-1][1]) / self._power()
        return end.strength * math.exp(sign * min(max(step, 0.1), math.log(FARTHEST)))

    def _power(self) -> float:
        if len(self.known) < 2:
            return USUAL_POWER
        (a, height_a), (b, height_b) = self.known[-2:]
        return min(max((height_b - height_a) / (b - a), 0.25), 4.0)

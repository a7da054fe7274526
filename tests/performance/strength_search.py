"""How many measurements it takes to match a degradation: `python tests/performance/strength_search.py`.

Cost curves `scale * strength ** power` are drawn; what a real degradation costs bends, so that it may take one or two
more. Nothing is timed: each measurement is a pass of a model over a text.
"""

from __future__ import annotations

import math
import random
import statistics

from evenhand.strength_search import matched_strength

CURVES = 4_000


def measurements(draw: random.Random) -> int:
    """How many strengths are tried for one curve."""
    scale, power, target = (
        math.exp(draw.uniform(math.log(0.05), math.log(50))),
        draw.uniform(0.5, 3),
        draw.uniform(0.01, 2),
    )
    tried: list[float] = []

    def cost(strength: float) -> float:
        tried.append(strength)
        return scale * strength**power

    matched_strength(cost, target)
    return len(tried)


if __name__ == "__main__":
    found = [measurements(random.Random(number)) for number in range(CURVES)]
    print(f"{CURVES:,} curves: {statistics.mean(found):.2f} measurements in the mean, {max(found)} at most")

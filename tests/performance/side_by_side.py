"""Two works timed right after one another, in alternating order, and how their times compare."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""By `cpu`, this process's seconds of computing count: where others use the machine, too, these compare better."""


def alternately(
    ours: Callable[..., Any],
    bare: Callable[..., Any],
    rounds: int,
    *,
    before: Callable[[], tuple[Any, ...]] = tuple,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[float], list[float]]:
    """Seconds of both, a pair a round; `before` makes their arguments, untimed. The first round warms up."""
    import torch

    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for k in range(rounds + 1):
        pair = [("bare", bare), ("ours", ours)]
        for name, work in pair if k % 2 else pair[::-1]:
            arguments = before()
            wait()
            start = clock()
            work(*arguments)
            wait()
            if k:
                times[name].append(clock() - start)
    return times["ours"], times["bare"]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    import numpy as np

    array = np.array(values)
    picks = np.random.default_rng(0).integers(0, len(array), (5000, len(array)))
    low, high = np.quantile(np.median(array[picks], axis=1), [0.025, 0.975])
    return float(low), float(high)


def ratios(ours: Sequence[float], bare: Sequence[float]) -> list[float]:
    """Of each round, how often `bare` goes into `ours`."""
    return [one / other for one, other in zip(ours, bare, strict=True)]


class Targets:
    """What is measured, line by line, and what of it misses its target."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def ratio(
        self,
        name: str,
        ours: Sequence[float],
        bare: Sequence[float],
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Print the median of the rounds' ratios, and whether it is within its target."""
        what = f"{statistics.median(ours):.3f} s against {statistics.median(bare):.3f} s"
        self.shown(name, ratios(ours, bare), what, at_most=at_most, at_least=at_least)

    def shown(
        self,
        name: str,
        values: Sequence[float],
        what: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Print the median of values with its interval, and whether it is within its target."""
        middle, (low, high) = statistics.median(values), interval(values)
        met = (at_most is None or middle <= at_most) and (at_least is None or middle >= at_least)
        if not met:
            self.missed.append(name)
        bound = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}" if at_least else "none"
        word = "" if bound == "none" else ", met" if met else ", MISSED"
        print(
            f"{name:52} {middle:6.3f} [{low:.3f}, {high:.3f}]  target {bound}{word}  ({what}, n={len(values)})",
            flush=True,
        )

    def end(self) -> None:
        """Raises SystemExit with what was missed."""
        if self.missed:
            raise SystemExit(f"missed: {'; '.join(self.missed)}")

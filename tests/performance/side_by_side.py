"""Two works timed right after one another, in alternating order, and how their times compare."""

from __future__ import annotations

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

"""Weights of cells of texts, (group, concept), that make the two independent or the groups more equal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

HALVINGS = 100
Cell = tuple[str, str]
"""(group, concept)."""


class Balance(Protocol):
    """What decides weights: read from the options of `group-balancing`."""

    @property
    def method(self) -> str: ...
    @property
    def tau(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def strength(self) -> float: ...


def cell_weights(counts: Mapping[Cell, int], options: Balance) -> dict[Cell, float]:
    """The weight of each cell that has texts, of mean 1 over all texts of `counts`.

    Bounds hold for the weights as they are given: those of `reweigh` lie in [clip^-s, clip^s] after they are scaled.
    """
    n = sum(counts.values())
    groups: Counter[str] = Counter()
    concepts: Counter[str] = Counter()
    for (group, concept), count in counts.items():
        groups[group] += count
        concepts[concept] += count
    found: dict[Cell, float] = {}
    if options.method == "temperature":
        tau = 1 - options.strength * (1 - options.tau)
        total = sum(count**tau for count in groups.values())
        found = {cell: groups[cell[0]] ** tau / total / (groups[cell[0]] / n) for cell in counts}
    else:
        for (group, concept), count in counts.items():
            found[group, concept] = (groups[group] * concepts[concept] / (n * count)) ** options.strength
        return bounded(found, counts, options.clip**options.strength)
    mean = sum(count * found[cell] for cell, count in counts.items()) / max(1, n)
    return {cell: weight / mean for cell, weight in found.items()}


def bounded(weights: Mapping[Cell, float], counts: Mapping[Cell, int], most: float) -> dict[Cell, float]:
    """Weights of mean 1 in [1/most, most]: min(most, max(1/most, scale * w)), with the one scale that makes it so."""
    n = sum(counts.values())
    if not weights:
        return {}
    scale = n / sum(counts[cell] * weight for cell, weight in weights.items())
    plain = {cell: scale * weight for cell, weight in weights.items()}
    if all(1 / most <= weight <= most for weight in plain.values()):
        return plain  # no bound is reached, which a stream asks for at each row

    def clipped(scale: float) -> dict[Cell, float]:
        return {cell: min(most, max(1 / most, scale * weight)) for cell, weight in weights.items()}

    low, high = 1 / (most * max(weights.values())), most / min(weights.values())
    for _ in range(HALVINGS):  # the mean grows with the scale, from at most 1 to at least 1
        middle = math.sqrt(low * high)
        found = clipped(middle)
        low, high = (middle, high) if sum(counts[cell] * found[cell] for cell in counts) < n else (low, middle)
    return clipped(high)


def effective_size(weights: Mapping[Any, float], counts: Mapping[Any, int]) -> float:
    """Kish's effective sample size (sum w)^2 / sum w^2 of cells with so many texts each."""
    first = sum(counts[cell] * weights[cell] for cell in counts)
    second = sum(counts[cell] * weights[cell] ** 2 for cell in counts)
    return first**2 / second if second else 0.0

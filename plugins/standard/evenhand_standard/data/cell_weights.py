"""Weights of cells of texts, (group, concept), that make the two independent or the groups more equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Protocol

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
    """The weight of each cell that has texts, scaled to a mean of 1 over all texts of `counts`."""
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
            raw = groups[group] * concepts[concept] / (n * count)
            found[group, concept] = min(options.clip, max(1 / options.clip, raw)) ** options.strength
    mean = sum(count * found[cell] for cell, count in counts.items()) / max(1, n)
    return {cell: weight / mean for cell, weight in found.items()}


def effective_size(weights: Mapping[Hashable, float], counts: Mapping[Hashable, int]) -> float:
    """Kish's effective sample size (sum w)^2 / sum w^2 of cells with so many texts each."""
    first = sum(counts[cell] * weights[cell] for cell in counts)
    second = sum(counts[cell] * weights[cell] ** 2 for cell in counts)
    return first**2 / second if second else 0.0

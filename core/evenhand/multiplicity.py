"""Adjusted p-values: what is left of several results when it is counted how many were looked at.

- **Holm** over the family that verdicts rest on: the decisive metrics of the bias benchmarks of a run; and, for each
  benchmark, over its axes. It bounds the chance of any false result.
- **Benjamini-Hochberg** over all other metrics of the run: it bounds the share of false results among those that are
  called results. They explore; no verdict rests on them.

Source: Holm 1979; Benjamini and Hochberg 1995.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given: the running maximum of (m - k) p_(k), at most 1."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda k: ps[k])):
        largest = max(largest, (len(ps) - rank) * ps[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given: the running minimum, from the largest down, of m p_(k) / k."""
    adjusted, smallest = [0.0] * len(ps), 1.0
    order = sorted(range(len(ps)), key=lambda k: ps[k], reverse=True)
    for above, place in enumerate(order):
        smallest = min(smallest, len(ps) * ps[place] / (len(ps) - above))
        adjusted[place] = smallest
    return adjusted


def adjusted(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The benchmark entries of a run with `p_adjusted` and `adjusted_by` in their metrics and axes.

    The decisive metric of a quality benchmark is held against a budget by a test of its own, and is in no family;
    undefined p-values are in none either.
    """
    found = [
        {**e, "metrics": [dict(m) for m in e["metrics"]], "axes": [dict(a) for a in e.get("axes", ())]} for e in entries
    ]
    for entry in found:
        for result in (*entry["metrics"], *entry["axes"]):
            result["p_adjusted"], result["adjusted_by"] = None, ""
    decisive = [decisive_metric(e) for e in found if not e["quality"]]
    others = [m for e in found for m in e["metrics"] if m is not decisive_metric(e)]
    _adjust(decisive, holm, "Holm, {} bias benchmarks")
    _adjust(others, benjamini_hochberg, "Benjamini-Hochberg, {} secondary metrics")
    for entry in found:
        _adjust(entry["axes"], holm, "Holm, {} axes")
    return found


def decisive_metric(entry: Mapping[str, Any]) -> Any:
    """The metric of a benchmark's entry that its verdict rests on."""
    return next((m for m in entry["metrics"] if m["primary"]), entry["metrics"][0])


def _adjust(results: Sequence[dict[str, Any]], how: Any, label: str) -> None:
    family = [r for r in results if r["p"] is not None]
    for result, p in zip(family, how([r["p"] for r in family]), strict=True):
        result["p_adjusted"] = p
        result["adjusted_by"] = label.format(len(family)) if len(family) > 1 else "alone in its family"

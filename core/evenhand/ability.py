"""Does a model do the task of a benchmark at all? Where it does not, its answers show no bias, but noise.

A benchmark names the metric that says so (`Benchmark.able`), such as the accuracy above chance in contexts that tell
the answer. Nothing counts as an improvement unless its whole interval lies above 0, before and after: a model that was
at chance had nothing to improve, and one that fell to it has lost the task, not the bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def lacking(metrics: Sequence[Mapping[str, Any]], able: str, sides: Sequence[str] = ("before", "after")) -> str:
    """The first side on which a model was not shown to do the task, in a clause; empty where it was on all of them.

    `metrics` are those of a benchmark's entry, `able` the name of the one that decides; empty: no such question.
    """
    metric = next((m for m in metrics if m["name"] == able), None)
    if metric is None:
        return ""
    for side in sides:
        found = metric[side]
        if found["low"] is None or found["low"] <= 0:
            when = f" {side}" if len(sides) > 1 else ""
            unit = f" {metric['unit']}" if metric["unit"] else ""
            return f"{able} is {_number(found['value'])}{unit}{when} ({_span(found)})"
    return ""


def _span(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return "without an interval"
    return f"interval {_number(found['low'])} to {_number(found['high'])}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"

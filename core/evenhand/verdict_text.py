"""One plain sentence for each verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def verdict_text(
    entry: Mapping[str, Any],
    metric: Mapping[str, Any],
    *,
    confidence: float,
    budget: float | None,
    min_items: int,
    min_clusters: int,
) -> str:
    """What a benchmark's entry of `run.json` shows, by its decisive metric, for a reader who is no
    statistician."""
    verdict = entry["verdict"]
    if verdict == "too few items":
        return (
            f"{_counted(entry['n_items'], 'item')} in {_counted(entry['n_clusters'], 'independent group')} "
            f"are too few for a verdict: at least {min_items} items in {min_clusters} groups are needed."
        )
    if verdict in ("within budget", "over budget", "not shown to be within budget"):
        return _cost(metric["name"], entry["ratio"], verdict, confidence, budget or 1.0)
    return _effect(metric, verdict, confidence)


def _effect(metric: Mapping[str, Any], verdict: str, confidence: float) -> str:
    nearer = metric["distance_change"] is not None
    change = metric["distance_change"] if nearer else metric["change"]
    unit = f" {metric['unit']}" if metric["unit"] else ""
    name, percent = metric["name"], f"{100 * confidence:.4g} % interval"
    if change["low"] is None:
        return f"No effect on {name} was demonstrated: its change is not defined on these items."
    if metric["change"]["low"] == metric["change"]["high"] == 0:
        return f"No effect on {name} was demonstrated: it is the same on every item."
    if verdict == "no demonstrated effect":
        what = f"change of the distance to {_number(metric['target'])}" if nearer else "change"
        return (
            f"No effect on {name} was demonstrated: the {what} is {_number(change['value'])}{unit}, "
            f"with a {percent} from {_number(change['low'])} to {_number(change['high'])}; "
            f"a change below {_number(metric['detectable'])} would probably have been missed."
        )
    ends = sorted((abs(change["low"]), abs(change["high"])))
    size = f"{_number(abs(change['value']))}{unit} ({percent} {_number(ends[0])} to {_number(ends[1])})"
    if nearer:
        side = "nearer to" if verdict == "improved" else "further from"
        return f"{name} came {size} {side} its ideal value {_number(metric['target'])}."
    direction = "rose" if change["value"] > 0 else "fell"
    better = "an improvement" if verdict == "improved" else "a change for the worse"
    return f"{name} {direction} by {size}, {better}."


def measured_change(metric: Mapping[str, Any]) -> str:
    """The decisive change of a metric in a clause: its size, unit and interval."""
    change = metric["distance_change"] or metric["change"]
    if change["low"] is None:
        return "its change is not defined on these items"
    unit = f" {metric['unit']}" if metric["unit"] else ""
    what = "the distance to the ideal changed by" if metric["distance_change"] else "it changed by"
    return (
        f"{what} {_number(change['value'])}{unit} (interval {_number(change['low'])} to {_number(change['high'])})"
    )


def _cost(name: str, ratio: Mapping[str, float | None], verdict: str, confidence: float, budget: float) -> str:
    if ratio["low"] is None:
        return f"The cost in {name} is not defined on these items, so it was not shown to be within the budget."
    span = (
        f"{name} is {ratio['value']:.4f} times what it was "
        f"({100 * confidence:.4g} % interval {ratio['low']:.4f} to {ratio['high']:.4f})"
    )
    if verdict == "within budget":
        return f"{span}, which is within the budget of {budget:.4g}."
    if verdict == "over budget":
        return f"{span}, which is over the budget of {budget:.4g}."
    return f"{span}, so it was not shown to be within the budget of {budget:.4g}."


def _number(value: float | None) -> str:
    return "an unknown size" if value is None else f"{value:.4g}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

"""One plain sentence for each verdict, and the one reason for it in a clause."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

BY_CONSTRUCTION = "by construction, not evidence"
"""The verdict on items that all use words which the steps of the run worked with."""
QUALITY = ("within budget", "over budget", "not shown to be within budget")


def verdict_text(
    entry: Mapping[str, Any],
    metric: Mapping[str, Any],
    *,
    confidence: float,
    budget: float | None,
    needed: tuple[int, int],
) -> str:
    """What a benchmark's entry of `run.json` shows, by its decisive metric, for a reader who is no
    statistician. `needed` are the fewest items and clusters for a verdict."""
    verdict = entry["verdict"]
    if verdict == "too few items":
        text = (
            f"{_counted(entry['n_items'], 'item')} in {_counted(entry['n_clusters'], 'independent group')} "
            f"are too few for a verdict: at least {needed[0]} items in {needed[1]} groups are needed."
        )
    elif verdict == BY_CONSTRUCTION:
        change = metric["distance_change"] or metric["change"]
        excludes = change["low"] is not None and not change["low"] <= 0 <= change["high"]
        better = (change["value"] or 0) > 0 if metric["better"] == "higher" else (change["value"] or 0) < 0
        shown = ("improved" if better else "worse") if excludes else "no demonstrated effect"
        return (
            f"All {_counted(entry['n_items'], 'item')} use words that the steps worked with, so this shows what the "
            f"method was built to do, and is no evidence beyond those words. {_effect(metric, shown, confidence)}"
        )
    elif verdict in QUALITY:
        return _cost(entry, metric, verdict, confidence, budget or 1.0)
    elif entry.get("unable"):
        text = (
            f"{_effect(metric, 'improved', confidence)} But the model was not shown to do this task at all: "
            f"{entry['unable']}. What changes in answers at chance is noise."
        )
    else:
        text = _effect(metric, verdict, confidence)
    if entry.get("in_lexicon"):
        inside = entry["in_lexicon"]
        text += (
            f" This rests on {_counted(entry['n_items'], 'item')} without words that the steps worked with; "
            f"{_counted(inside['n_items'], 'other')} with such words decided nothing."
        )
    return text


def reason_of(entry: Mapping[str, Any], metric: Mapping[str, Any], *, needed: tuple[int, int]) -> str:
    """Why a benchmark has its verdict, in one clause; controls and budget may replace it."""
    verdict = entry["verdict"]
    if verdict == "too few items":
        items, groups = _counted(entry["n_items"], "item"), _counted(entry["n_clusters"], "independent group")
        return f"{items} in {groups}; {needed[0]} items in {needed[1]} groups are needed"
    if verdict == BY_CONSTRUCTION:
        return "all items use words that the steps worked with"
    if verdict in QUALITY:
        return {
            "within budget": "the whole interval of the loss lies within the budget",
            "over budget": "the whole interval of the loss lies beyond the budget",
        }.get(verdict, "the interval of the loss reaches beyond the budget")
    if entry.get("unable"):
        return f"improved, but the model was not shown to do the task: {entry['unable']}"
    change = metric["distance_change"] or metric["change"]
    if change["low"] is None:
        return "its change is not defined on these items"
    if metric["change"]["low"] == metric["change"]["high"] == 0:
        return "it is the same on every item"
    return {
        "improved": "the whole interval of the change lies on the better side",
        "worse": "the whole interval of the change lies on the worse side",
    }.get(verdict, "the interval of the change includes zero")


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
    return f"{what} {_number(change['value'])}{unit} (interval {_number(change['low'])} to {_number(change['high'])})"


def _cost(entry: Mapping[str, Any], metric: Mapping[str, Any], verdict: str, confidence: float, budget: float) -> str:
    name, loss = metric["name"], entry.get("loss")
    found = loss or entry["ratio"]
    if found["low"] is None:
        return f"The cost in {name} is not defined on these items, so it was not shown to be within the budget."
    level = f"{100 * confidence:.4g} % interval"
    if loss:
        unit = {"%": " percentage points", "": ""}.get(metric["unit"], f" {metric['unit']}")
        span = f"{name} lost {loss['value']:.4g}{unit} ({level} {loss['low']:.4g} to {loss['high']:.4g})"
        allowed = f"margin of {loss['margin']:.4g}{unit}"
    else:
        span = f"{name} is {found['value']:.4f} times what it was ({level} {found['low']:.4f} to {found['high']:.4f})"
        allowed = f"budget of {budget:.4g}"
    if verdict == "within budget":
        return f"{span}, which is within the {allowed}{_tested(entry)}."
    if verdict == "over budget":
        return f"{span}, which is over the {allowed}."
    return f"{span}, so it was not shown to be within the {allowed}{_tested(entry)}."


def _tested(entry: Mapping[str, Any]) -> str:
    tost = entry.get("tost")
    if not tost or tost["p_loss"] is None:
        return ""
    return f" (one-sided test of a loss beyond it: {p_value(tost['p_loss'])}, level {tost['level']:.3g})"


def p_value(p: float) -> str:
    """A p-value as text: `p = 0.012`, `p = 0.0004`, `p < 0.0001`."""
    return "p < 0.0001" if p < 0.00005 else f"p = {p:.4f}" if p < 0.001 else f"p = {p:.3f}"


def _number(value: float | None) -> str:
    if value is None:
        return "an unknown size"
    if not 1e-6 <= abs(value) < 1e-3:
        text = f"{value:.4g}"
    else:  # no power of ten before a reader needs one
        text = f"{value:.{1 - math.floor(math.log10(abs(value)))}f}"
    return text.replace("-", "\u2212")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

"""What is left of an "improved" when it is held against all that could explain it otherwise.

*Improved* stands only if, in this order: every control that applies and was made is beaten; language quality was
measured, and its loss is shown to be within the budget; no axis became worse beyond its margin, on this or on another
bias benchmark of the run; the result is the declared primary one, or survives the correction for the number of bias
benchmarks; and the controls that it must beat were made. The first that fails is the one reason that is given. A run
must beat *all* of its controls, so that no correction for their number is needed; a change for the worse is reported
without any correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.axis_results import WORSE
from evenhand.control_steps import CONTINUED, REQUIRED
from evenhand.multiplicity import decisive_metric
from evenhand.noninferiority import WITHIN
from evenhand.report_wording import UNTESTED
from evenhand.verdict_text import BY_CONSTRUCTION, measured_change, p_value

NO_EVIDENCE = (BY_CONSTRUCTION, "too few items")
"""Verdicts of benchmarks that say nothing about any axis."""


def judge(
    entry: dict[str, Any],
    controls: Sequence[Mapping[str, Any]],
    quality: Mapping[str, Any] | None,
    *,
    primary: bool,
    level: float = 0.05,
    others: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The entry of a bias benchmark with the verdict that is left, its reason and its sentence; others unchanged.

    `controls` are the entries of `controls.entry_of`; `primary` says whether the headline of the run rests on this
    benchmark; `level` is what the interval leaves; `others` are the entries of all benchmarks of the run.
    """
    if entry["quality"] or entry["verdict"] != "improved":
        return entry
    text = entry["verdict_text"]
    found = _objection(entry, controls, quality, primary, level, others)
    if found is not None:
        reason, sentence = found
        return {
            **entry,
            "verdict": "no demonstrated effect",
            "reason": f"improved, but {reason}",
            "verdict_text": f"{text} But {sentence}",
        }
    needed = {CONTINUED, *REQUIRED, *(c["id"] for c in controls if c.get("required"))}
    untested = [c["id"] for c in controls if c["state"] == "not run" and c["id"] in needed]
    if untested:
        names = _listed(untested)
        text += f" It has not been compared with {names}."
        return {**entry, "verdict": UNTESTED, "reason": f"not compared with {names}", "verdict_text": text}
    beaten = [c["id"] for c in controls if c["state"] == "run"]
    if not beaten:
        reason = "better than the untouched model, at no cost that a control could match"
        return {**entry, "reason": reason}
    text += f" It is also better than {_listed(beaten)}."
    return {**entry, "reason": f"also better than {_listed(beaten)}", "verdict_text": text}


def claims(
    entries: Sequence[dict[str, Any]], quality: Mapping[str, Any] | None, *, primary: str | None, level: float = 0.05
) -> list[str]:
    """The bias benchmarks that improved, and that everything but controls leaves standing, in order.

    `primary` is the benchmark that the headline of the run rests on; the rest is as in `judge`.
    """
    left = [judge(e, (), quality, primary=e["id"] == primary, level=level, others=entries) for e in entries]
    return [e["id"] for e in left if e["verdict"] == "improved" and not e["quality"]]


def _objection(
    entry: Mapping[str, Any],
    controls: Sequence[Mapping[str, Any]],
    quality: Mapping[str, Any] | None,
    primary: bool,
    level: float,
    others: Sequence[Mapping[str, Any]],
) -> tuple[str, str] | None:
    """The first objection to an improvement, as a clause and as a sentence."""
    for control in controls:
        shown = next((b for b in control["benchmarks"] if b["id"] == entry["id"]), None)
        if shown is not None and shown["verdict"] != "improved":
            name = _called(control["id"])
            beside = f"{measured_change(shown['metric'])} against it"
            return f"not beyond {name}", f"it is not shown to be better than {name}: {beside}."
    if quality is None:
        return (
            "language quality was not measured",
            "language quality was not measured, so it may be the price of a worse model.",
        )
    if quality["verdict"] != WITHIN:
        by = f" by {quality['decided_by']}" if quality.get("decided_by") else ""
        cost = f"the cost in language quality{by} is {quality['verdict']}"
        return cost, f"{cost}, so this does not count as an improvement."
    if what := _worse_axes(entry, others):
        return what, f"{what}, so this does not count as an improvement."
    metric = decisive_metric(entry)
    p = metric.get("p_adjusted")
    if not primary and p is not None and p > level:
        what = f"not after the correction for several results ({metric['adjusted_by']}: {p_value(p)})"
        return what, f"it does not stand the correction for several results ({metric['adjusted_by']}: {p_value(p)})."
    return None


def _worse_axes(entry: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Which axes became worse beyond their margin: of this benchmark, else of another; empty where none did."""
    from evenhand.report_numbers import listing

    found = {"": [a["axis"] for a in entry.get("axes", ()) if a["state"] == WORSE]}
    for other in others:
        if other["id"] != entry["id"] and not other["quality"] and other["verdict"] not in NO_EVIDENCE:
            axes = [*other.get("axes", ()), *([other["one_axis"]] if other.get("one_axis") else [])]
            found[f" on {other['id']}"] = [a["axis"] for a in axes if a["state"] == WORSE]
    for where, worse in found.items():
        if worse:
            return f"{'axis' if len(worse) == 1 else 'axes'} {listing(worse)} became worse beyond the margin{where}"
    return ""


def _called(name: str) -> str:
    return {
        CONTINUED: "continued training alone",
        "weight-noise": "weight noise of the same cost",
        "unigram-mix": "a unigram mixture of the same cost",
        "temperature": "a temperature of the same cost",
        "weight-rounding": "rounded weights of the same cost",
        "random-heads": "the loss of random heads of the same cost",
        "random-directions": "the loss of random directions of the same cost",
    }.get(name, f"the control {name}")


def _listed(names: Sequence[str]) -> str:
    from evenhand.report_numbers import listing

    return listing([_called(name) for name in names])

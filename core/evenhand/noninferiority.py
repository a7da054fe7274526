"""Language quality against its budget: the loss must be shown to be small, not merely fail to be shown large.

The loss is `log(after / before)` of a measure such as perplexity, held against `log(budget)`; or, for a measure in
points whose metric states a `margin`, the change for the worse in its unit. Two one-sided tests (TOST) ask whether less
than the margin was lost, and whether less than the margin was gained. The first alone is non-inferiority, which the
budget asks for; both together are equivalence. Each is made at half of what the interval leaves (2.5 % for one of
95 %): the first holds exactly if the upper end of the interval of the loss is no more than the margin. p is the share
of resamples beyond the margin.

Source: Schuirmann 1987 for TOST.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.bootstrap import Resampled, distance, distance_interval, interval
from evenhand.evaluation_parts import Metric
from evenhand.multiplicity import decisive_metric

if TYPE_CHECKING:
    from evenhand.sample import Array

WITHIN, OVER, NOT_SHOWN = "within budget", "over budget", "not shown to be within budget"
RANK = (WITHIN, NOT_SHOWN, OVER)
"""From the best to the worst."""


def quality_loss(metric: Metric, drawn: Resampled, confidence: float, budget: float | None) -> dict[str, Any]:
    """What a quality benchmark lost: `ratio` or `loss`, and with a margin `tost`; plain JSON types.

    `ratio` is above 1 for a loss: after / before, or its inverse where more is better; undefined when a value is not
    positive, or the metric has a target. `loss` is in the metric's unit, above 0 for a loss.
    """
    if metric.margin is not None:
        value, draws = _points(metric, drawn)
        nearer = metric.better == "nearer"
        low, high = distance_interval(value, draws, confidence) if nearer else interval(draws, confidence)
        loss = {"value": _plain(value), "low": _plain(low), "high": _plain(high), "margin": metric.margin}
        scale = metric.unit or "the metric's own"
        return {"loss": loss, "tost": _tost(draws, metric.margin, (low, high), confidence, scale)}
    value, draws = _log_ratio(metric, drawn)
    low, high = interval(draws, confidence)
    found: dict[str, Any] = {"ratio": {k: _exp(x) for k, x in (("value", value), ("low", low), ("high", high))}}
    if budget is not None:
        found["tost"] = _tost(draws, math.log(budget), (low, high), confidence, "log ratio")
    return found


def loss_verdict(entry: Mapping[str, Any], budget: float) -> str:
    """The verdict of a quality benchmark's entry."""
    loss = entry.get("loss")
    if loss is None:
        return budget_verdict(entry["ratio"], budget)
    return _verdict(loss["low"], loss["high"], loss["margin"])


def budget_verdict(ratio: Mapping[str, float | None], budget: float) -> str:
    """Non-inferiority: the whole interval of the cost ratio must lie within the budget, or beyond it."""
    low, high = ratio["low"], ratio["high"]
    if low is None or high is None:
        return NOT_SHOWN
    return _verdict(_log(low), _log(high), math.log(budget))


def _verdict(low: float | None, high: float | None, margin: float) -> str:
    if low is None or high is None:
        return NOT_SHOWN
    if high <= margin:
        return WITHIN
    return OVER if low > margin else NOT_SHOWN


def quality_summary(benchmarks: Sequence[Mapping[str, Any]], budget: float) -> dict[str, Any] | None:
    """The `quality` entry of `run.json`; None without a quality benchmark.

    `verdict` is that of all quality benchmarks together, which is the worst of them, and `decided_by` names it. `ratio`
    is that of the benchmark which may have lost most among those with a ratio; degradations are matched to it.
    """
    measured = [b for b in benchmarks if b.get("ratio") or b.get("loss")]
    if not measured:
        return None
    parts = []
    for entry in measured:
        few = entry["verdict"] == "too few items"
        parts.append(
            {
                "benchmark": entry["id"],
                "metric": decisive_metric(entry)["name"],
                "unit": decisive_metric(entry).get("unit", ""),
                "better": decisive_metric(entry).get("better", "lower"),
                "ratio": entry.get("ratio"),
                "loss": entry.get("loss"),
                "verdict": NOT_SHOWN if few else loss_verdict(entry, budget),
                "reason": f"too few items: {entry['reason']}" if few and entry.get("reason") else "",
            }
        )
    worst = max(parts, key=lambda p: RANK.index(p["verdict"]))
    ratios = [p for p in parts if p["ratio"]]
    shown = max(ratios, key=lambda p: math.inf if p["ratio"]["high"] is None else p["ratio"]["high"], default=None)
    return {
        "budget": budget,
        "metric": shown["metric"] if shown else worst["metric"],
        "benchmark": shown["benchmark"] if shown else worst["benchmark"],
        "ratio": shown["ratio"] if shown else None,
        "verdict": worst["verdict"],
        "decided_by": worst["benchmark"],
        "parts": parts,
    }


def _points(metric: Metric, drawn: Resampled) -> tuple[float, Array]:
    sign = -1.0 if metric.better == "higher" else 1.0
    values = [distance(metric, x) for x in (drawn.value_before, drawn.value_after, drawn.before, drawn.after)]
    draws: Array = sign * (values[3] - values[2])
    if metric.better == "higher" and not drawn.value_before and not drawn.before.any():
        draws = draws * math.nan  # at 0 nothing can be lost, so that no loss shows nothing
    return sign * float(values[1] - values[0]), draws


def _log_ratio(metric: Metric, drawn: Resampled) -> tuple[float, Array]:
    import numpy as np

    if metric.better == "nearer":
        return math.nan, np.full(len(drawn.after), np.nan)
    sign = -1.0 if metric.better == "higher" else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        value = sign * float(np.log(drawn.value_after) - np.log(drawn.value_before))
        draws: Array = sign * (np.log(drawn.after) - np.log(drawn.before))
    return value, draws


def _tost(draws: Array, margin: float, ends: tuple[float, float], confidence: float, scale: str) -> dict[str, Any]:
    """Both tests: by the interval, which decides, and as p-values, the share of resamples beyond the margin."""
    import numpy as np

    told: dict[str, Any] = {"margin": margin, "scale": scale, "level": (1 - confidence) / 2}
    low, high = ends
    if math.isnan(low):
        return {**told, "p_loss": None, "p_gain": None, "non_inferior": False, "equivalent": False}
    defined = draws[np.isfinite(draws)]
    beyond = [(int(np.sum(side > margin)) + 1) / (len(defined) + 1) for side in (defined, -defined)]
    return {
        **told, "p_loss": beyond[0], "p_gain": beyond[1],
        "non_inferior": high <= margin, "equivalent": -margin <= low and high <= margin,
    }  # fmt: skip


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _exp(value: float) -> float | None:
    return _plain(math.exp(value)) if value < 700 and not math.isnan(value) else None


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

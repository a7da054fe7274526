"""Geometry of the report's figures: where each mark stands, in percent of the width of the reader's screen.

Nothing here makes markup. Positions are percentages, so that the same SVG is drawn at any width without its
text being scaled.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand.report_numbers import bounds, decimals, number
from evenhand.report_record import RunRecord
from evenhand.report_results import Interval, MetricResult, Quality
from evenhand.report_wording import tone
from evenhand.row_record import RowExample
from evenhand.shown_record import Figure, Sample


@dataclass(frozen=True)
class Tick:
    """A labelled position of an axis."""

    x: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One interval of a forest plot; positions are None where the value is undefined."""

    label: str
    detail: str
    text: str
    tone: str
    primary: bool
    x: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Intervals on one axis: same unit, same meaning of left and right."""

    title: str
    left: str
    right: str
    zero: float
    limit: float | None
    """A second reference line, for example a budget."""
    ticks: Sequence[Tick]
    marks: Sequence[Mark]
    alternative: str


@dataclass(frozen=True)
class Axis:
    """A linear axis over [low, high]."""

    low: float
    high: float
    step: float

    def at(self, value: float) -> float:
        """Position in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)

    def ticks(self) -> list[float]:
        """Round values on the axis."""
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        return [k * self.step for k in range(first, last + 1)]


def axis_over(values: Sequence[float]) -> Axis:
    """An axis that holds all finite values with 8 % of room on both sides; ticks are at 1, 2 or 5."""
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    low, high = min(finite), max(finite)
    span = high - low
    if span <= 0:
        span = abs(high) or 1.0
    low, high = low - 0.08 * span, high + 0.08 * span
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(f * power for f in (1, 2, 5, 10) if (high - low) / (f * power) <= 6)
    return Axis(low, high, step)


def _values(interval: Interval) -> list[float]:
    return [v for v in (interval.value, interval.low, interval.high) if v is not None and math.isfinite(v)]


def position(axis: Axis, value: float | None) -> float | None:
    """Where a value stands; infinite ends run to the edge."""
    if value is None or math.isnan(value):
        return None
    return min(100.0, max(0.0, axis.at(value))) if math.isfinite(value) else (100.0 if value > 0 else 0.0)


def tick_labels(axis: Axis, *, signed: bool, around: float = 0.0) -> list[Tick]:
    """The round values on an axis with their numbers; those too near the edge are left out, except `around`."""
    places = max(0, -math.floor(math.log10(axis.step) + 1e-9))
    return [
        Tick(axis.at(v), number(v, places, signed=signed))
        for v in axis.ticks()
        if abs(v - around) < axis.step / 1e6 or 3 <= axis.at(v) <= 97
    ]


Direction = Literal["distance", "lower", "higher", "unknown"]


def _plotted(metric: MetricResult) -> tuple[Direction, Interval]:
    if metric.better == "nearer":
        if metric.distance_change is not None:
            return "distance", metric.distance_change
        return "unknown", metric.change
    return metric.better, metric.change


_SIDES: dict[Direction, tuple[str, str, str]] = {
    "distance": ("change of the distance from the ideal value", "better", "worse"),
    "lower": ("change", "better", "worse"),
    "higher": ("change", "worse", "better"),
    "unknown": ("change", "lower", "higher"),
}


def forest(run: RunRecord) -> list[Panel]:
    """One panel for each unit and direction, with every metric of the bias benchmarks in order."""
    groups: dict[tuple[Direction, str], list[tuple[str, MetricResult, Interval, str, bool]]] = {}
    for benchmark in run.bias_benchmarks:
        for metric in benchmark.ordered:
            way, interval = _plotted(metric)
            primary = metric is benchmark.primary
            colour = tone(benchmark.verdict) if primary else "neutral"
            key = (way, metric.unit)
            groups.setdefault(key, []).append((benchmark.label, metric, interval, colour, primary))
    panels = []
    for (way, unit), members in groups.items():
        axis = axis_over([0.0, *(v for _, _, interval, _, _ in members for v in _values(interval))])
        what, left, right = _SIDES[way]
        marks = []
        for title, metric, interval, colour, primary in members:
            places = decimals(interval)
            value = number(interval.value, places, signed=True)
            marks.append(
                Mark(
                    label=title,
                    detail=metric.name,
                    text=f"{value} {bounds(interval, places, signed=True)}".strip(),
                    tone=colour,
                    primary=primary,
                    x=position(axis, interval.value),
                    low=position(axis, interval.low),
                    high=position(axis, interval.high),
                )
            )
        heading = f"{what[0].upper()}{what[1:]}" + (
            f", in {'percentage points' if unit == '%' else unit}" if unit else ""
        )
        panels.append(
            Panel(
                title=heading,
                left=left,
                right=right,
                zero=axis.at(0.0),
                limit=None,
                ticks=tick_labels(axis, signed=True),
                marks=marks,
                alternative=f"{heading}. " + " ".join(f"{m.label}, {m.detail}: {m.text}." for m in marks),
            )
        )
    return panels


def budget_panel(quality: Quality) -> Panel | None:
    """The cost ratio of language quality, against 1 and against the budget; None when unknown."""
    ratio = quality.ratio
    if ratio.value is None or not math.isfinite(ratio.value):
        return None
    axis = axis_over([1.0, quality.budget, *_values(ratio)])
    places = max(3, decimals(ratio))
    text = f"{number(ratio.value, places)} {bounds(ratio, places)}".strip()
    budget = number(quality.budget, 3)
    return Panel(
        title=f"Cost ratio by {quality.metric or 'perplexity'}",
        left="better",
        right="worse",
        zero=axis.at(1.0),
        limit=axis.at(quality.budget),
        ticks=tick_labels(axis, signed=False, around=1.0),
        marks=[
            Mark(
                label="Language quality",
                detail=quality.metric,
                text=text,
                tone=tone(quality.verdict),
                primary=True,
                x=position(axis, ratio.value),
                low=position(axis, ratio.low),
                high=position(axis, ratio.high),
            )
        ],
        alternative=f"Ratio {text}; no change is 1, the budget is {budget}: {quality.verdict}.",
    )


@dataclass(frozen=True)
class HeatToken:
    """One token and how strongly it is coloured, in [0, 1]."""

    text: str
    weight: str
    sign: str
    share: float


def heat_tokens(figure: Figure) -> list[HeatToken]:
    """Tokens with their weights relative to the largest one; a line break is shown as an arrow."""
    weights = [math.nan if w is None else w for w in figure.weights]
    finite = [abs(w) for w in weights if math.isfinite(w)]
    largest = max(finite, default=0.0) or 1.0
    places = decimals(Interval(value=largest))
    return [
        HeatToken(
            re.sub(r"\n", "\u21b5", token) or "\u2205",
            number(weight, places, signed=True),
            "pos" if weight > 0 else "neg",
            round(abs(weight) / largest, 3) if math.isfinite(weight) else 0.0,
        )
        for token, weight in zip(figure.tokens, weights, strict=False)
    ]


@dataclass(frozen=True)
class Bar:
    """One horizontal bar, from `x`, `width` wide, in percent."""

    label: str
    text: str
    x: float
    width: float
    sign: str


def bars(figure: Figure) -> tuple[float, list[Bar]]:
    """The position of zero, and the bars of a figure."""
    values = [math.nan if v is None else v for v in figure.values]
    finite = [v for v in values if math.isfinite(v)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    span = (high - low) or 1.0
    zero = round(100 * -low / span, 3)
    whole = all(v.is_integer() for v in finite)
    places = 0 if whole else decimals(Interval(value=max((abs(v) for v in finite), default=0.0)))
    made = []
    for label, value in zip(figure.labels, values, strict=False):
        width = round(100 * abs(value) / span, 3) if math.isfinite(value) else 0.0
        sign = "neg" if value < 0 else "pos"
        x = zero - width if value < 0 else zero
        made.append(Bar(label, number(value, places), round(x, 3), width, sign))
    return zero, made


@dataclass(frozen=True)
class Piece:
    """A part of a text, and whether the other text has it, too."""

    text: str
    same: bool


def differing(sample: Sample | RowExample) -> tuple[list[Piece], list[Piece]]:
    """Both texts of a sample in pieces, split where their words differ."""
    before, after = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (sample.before, sample.after))
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    codes = matcher.get_opcodes()
    return (
        _pieces([("".join(before[a0:a1]), kind == "equal") for kind, a0, a1, _, _ in codes]),
        _pieces([("".join(after[b0:b1]), kind == "equal") for kind, _, _, b0, b1 in codes]),
    )


def _pieces(parts: Sequence[tuple[str, bool]]) -> list[Piece]:
    """Neighbours of one kind joined; a space between two differing words differs with them."""
    kept = [part for part in parts if part[0]]
    made: list[Piece] = []
    for place, (text, same) in enumerate(kept):
        between = 0 < place < len(kept) - 1 and not kept[place - 1][1] and not kept[place + 1][1]
        same = same and not (between and text.isspace())
        if made and made[-1].same == same:
            made[-1] = Piece(made[-1].text + text, same)
        else:
            made.append(Piece(text, same))
    return made

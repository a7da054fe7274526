"""Geometry of a front: configurations as points over two measures, in percent of the figure's width and height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.report_figures import Tick, axis_over, tick_labels


@dataclass(frozen=True, kw_only=True)
class Point:
    """One configuration, or the untouched model."""

    label: str
    x: float
    y: float
    """In percent from the top."""
    kind: str
    """`front`, `other` or `untouched`."""
    text: str
    """What a reader who points at it is told."""


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Points over two measures."""

    across: str
    up: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    """Positions in percent from the top."""
    points: Sequence[Point]
    alternative: str


def scatter(across: str, up: str, points: Sequence[tuple[str, str, float, float]]) -> Scatter:
    """The figure of points (label, kind, value across, value up); points of the front are drawn last, on top."""
    x_axis, y_axis = axis_over([p[2] for p in points]), axis_over([p[3] for p in points])
    order = {"other": 0, "untouched": 1, "front": 2}
    made = [
        Point(
            label=label,
            kind=kind,
            x=x_axis.at(x),
            y=round(100 - y_axis.at(y), 3),
            text=f"{label}: {across} {x:.4g}, {up} {y:.4g}",
        )
        for label, kind, x, y in sorted(points, key=lambda p: order[p[1]])
    ]
    front = "; ".join(p.text for p in made if p.kind == "front") or "none"
    return Scatter(
        across=across,
        up=up,
        x_ticks=tick_labels(x_axis, signed=False),
        y_ticks=[Tick(round(100 - t.x, 3), t.label) for t in tick_labels(y_axis, signed=False)],
        points=made,
        alternative=f"{up} over {across} of {len(made)} models. On the front: {front}.",
    )

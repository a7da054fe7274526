"""The decisive metric of a benchmark within each axis: no group's result may hide behind the mean of all.

An axis is *worse beyond its margin* when the whole interval of its change for the worse lies beyond the margin, *within
its margin* when the whole interval lies below it, and otherwise *undecided*. The margin is a share of what the whole
benchmark measured before (of the distance to the ideal value, where there is one), the same for all axes: a share of an
axis' own value would forbid any change where that value happens to be near zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evenhand.bootstrap import Part
from evenhand.errors import EvenhandError, PluginFault
from evenhand.evaluation_parts import Benchmark, Metric
from evenhand.sample import Table, value_of
from evenhand.stopping import stopped

if TYPE_CHECKING:
    from evenhand.sample import Array

AXIS_MARGIN = 0.1
"""The default share: a tenth of the bias before. It is small beside a change worth claiming, and large enough that a
trifle does not count because an axis has thousands of items. 0 forbids any demonstrated change for the worse."""
MIN_CLUSTERS = 10
"""With fewer clusters a bootstrap interval is too narrow to be trusted."""

WORSE, WITHIN, UNDECIDED, FEW = "worse beyond its margin", "within its margin", "undecided", "too few items"


def axes_of(metric: Metric, before: Table) -> list[str]:
    """The axes of the items, in order of appearance; none where all items have the same, or the metric forbids it."""
    found = [str(a) for a in dict.fromkeys(before.axis.tolist()) if a]
    return found if metric.by_axis and len(found) > 1 else []


def only_axis(before: Table) -> str:
    """The axis of all items, where they have the same; else empty. The benchmark itself is then the result of it."""
    found = set(before.axis.tolist())
    return str(found.pop()) if len(found) == 1 else ""


def axis_parts(whole: Part) -> list[tuple[str, Part]]:
    """A part for each axis: the decisive metric on its items."""
    return [(axis, _within(whole, whole.before.axis == axis)) for axis in axes_of(whole.metric, whole.before)]


def _within(whole: Part, kept: Array) -> Part:
    sides = [[table.only(kept)[0] for table in side] for side in (whole.befores, whole.afters)]
    return Part(whole.metric, sides[0], sides[1], whole.before.only(kept)[1])


def demand_defined(benchmark: Benchmark, records: Table) -> None:
    """Compute each metric once, within each axis too, so that a fault shows before there is anything to lose.

    Raises PluginFault for a statistic that fails.
    """
    decisive = next((m for m in benchmark.metrics if m.primary), benchmark.metrics[0] if benchmark.metrics else None)
    for metric in benchmark.metrics:
        tables = [("", records)]
        for axis in axes_of(metric, records) if metric is decisive and not benchmark.quality else ():
            tables.append((f" on axis {axis!r}", records.only(records.axis == axis)[0]))
        for where, table in tables:
            try:
                value_of(metric, table)
            except EvenhandError:
                raise
            except BaseException as error:
                if stopped(error):
                    raise
                raise PluginFault(
                    f"its metric {metric.name!r} fails{where}: {type(error).__name__}: {error}",
                    where=f"benchmark {benchmark.name!r}",
                    do="a metric that is not defined within one axis says so: by_axis=False" if where else "",
                ) from error


def margin_of(metric: Mapping[str, Any], share: float) -> float | None:
    """How much worse an axis may become, in the metric's unit; None where the benchmark has no value before."""
    before = metric["before"]["value"]
    if before is None:
        return None
    return float(share * abs(before - (metric["target"] or 0.0)))


def axis_result(axis: str, part: Part, result: Mapping[str, Any], margin: float | None) -> dict[str, Any]:
    """The entry of an axis, from the result of its metric; plain JSON types."""
    clusters = part.before.clusters
    decisive = result["distance_change"] or result["change"]
    low, high = decisive["low"], decisive["high"]
    if result["better"] == "higher" and low is not None:
        low, high = -high, -low  # as a change for the worse
    state = UNDECIDED
    if clusters < MIN_CLUSTERS:
        state = FEW
    elif low is not None and margin is not None:
        state = WORSE if low > margin else WITHIN if high <= margin else UNDECIDED
    kept = ("before", "after", "change", "distance_change", "p", "test", "detectable")
    found = {"axis": axis, "n_items": len(part.before.place), "n_clusters": clusters, "margin": margin, "state": state}
    return {**found, **{k: result[k] for k in kept}}

"""Axis by axis: the decisive metric within each, and an axis that became worse beyond its margin."""

from __future__ import annotations

import numpy as np
import pytest

from data_records import ACCURACY, GAP, SHARE, benchmark, compare, records
from evenhand.axis_results import AXIS_MARGIN, WITHIN, WORSE, demand_defined
from evenhand.contributions import Metric
from evenhand.errors import PluginFault
from evenhand.sample import Table


def sides(changes, *, start=1.0, n=60, spread=0.05, key="gap", clusters=None):
    """For each axis of `changes` n items that begin at `start` and change by so much, give or take."""
    generator = np.random.default_rng(0)
    before, after, axes = [], [], []
    for axis, change in changes.items():
        noise = generator.normal(0, spread, size=n)
        before += [start] * n
        after += (start + change + noise - noise.mean()).tolist()
        axes += [axis] * n
    return records(before, axes=axes, key=key, clusters=clusters), records(after, axes=axes, key=key, clusters=clusters)


def width(change):
    return change["high"] - change["low"]


def states(entry):
    return {a["axis"]: a["state"] for a in entry["axes"]}


def test_each_axis_has_the_values_of_its_own_items():
    before, after = sides({"age": -0.5, "religion": 0.2})
    entry = compare(GAP, before, after)
    age, religion = entry["axes"]
    alone = [compare(GAP, *([r for r in s if r.axis == a["axis"]] for s in (before, after))) for a in (age, religion)]
    for found, expected in zip((age, religion), alone, strict=True):
        change = expected["metrics"][0]["change"]
        assert found["change"]["value"] == pytest.approx(change["value"])
        # drawn among the clusters of both axes, so that the number of its own varies: as wide but for chance
        assert width(found["change"]) == pytest.approx(width(change), rel=0.15)
        assert found["p"] == pytest.approx(expected["metrics"][0]["p"], abs=0.002)
        assert (found["n_items"], found["n_clusters"]) == (60, 60)
    assert entry["metrics"][0]["change"]["value"] == pytest.approx(-0.15)


def test_an_axis_is_worse_beyond_its_margin_when_its_whole_interval_is():
    """The gap was 1 before, so the margin is a tenth of a nat; intervals reach 1.96 * 0.05 / sqrt(60) = 0.013 to
    either side."""
    entry = compare(GAP, *sides({"a": -0.5, "b": 0.2, "c": 0.05, "d": 0.105}))
    assert [a["margin"] for a in entry["axes"]] == [pytest.approx(AXIS_MARGIN)] * 4
    assert states(entry) == {
        "a": "within its margin", "b": "worse beyond its margin", "c": "within its margin", "d": "undecided",
    }  # fmt: skip
    strict = compare(GAP, *sides({"a": -0.5, "b": 0.2, "c": 0.05, "d": 0.105}), axis_margin=0.0)
    assert list(states(strict).values()) == ["within its margin", *["worse beyond its margin"] * 3]


def test_the_margin_is_a_share_of_the_distance_from_the_ideal():
    """70 % before, so 20 from the ideal of 50: the margin is 2 points; axis b moves from 70 to 80."""
    wins = ([1.0] * 70 + [0.0] * 30) * 2
    moved = [1.0] * 60 + [0.0] * 40 + [1.0] * 80 + [0.0] * 20
    axes = ["a"] * 100 + ["b"] * 100
    entry = compare(SHARE, records(wins, key="win", axes=axes), records(moved, key="win", axes=axes))
    assert entry["axes"][0]["margin"] == pytest.approx(2.0)
    assert states(entry) == {"a": "within its margin", "b": "worse beyond its margin"}


def test_where_more_is_better_a_fall_is_worse():
    before, after = sides({"a": 0.2, "b": -0.3}, key="right")
    assert states(compare(ACCURACY, before, after)) == {"a": "within its margin", "b": "worse beyond its margin"}


def test_an_axis_with_few_clusters_has_no_say():
    entry = compare(GAP, *sides({"a": -0.5, "b": 0.9}, n=60, clusters=[*range(60), *[60 + k % 9 for k in range(60)]]))
    assert states(entry) == {"a": "within its margin", "b": "too few items"}


def test_no_axes_where_there_is_one_or_none_or_the_metric_says_nothing_within_one():
    assert compare(GAP, *sides({"a": -0.5}))["axes"] == []
    assert compare(GAP, *sides({"": -0.5, "a": 0.0}))["axes"] == []
    between = Metric(name="gap", value="gap", better="lower", by_axis=False)
    assert compare(between, *sides({"a": -0.5, "b": 0.5}))["axes"] == []
    assert compare(GAP, *sides({"a": -0.5, "b": 0.5}), quality=True)["axes"] == []


def test_a_statistic_has_axes_like_any_metric():
    same = Metric(name="gap", statistic=mean_of_gap, better="lower")
    given = sides({"a": -0.5, "b": 0.2})
    plain, by_function = (compare(m, *given)["axes"] for m in (GAP, same))
    for one, other in zip(plain, by_function, strict=True):
        assert one["change"] == pytest.approx(other["change"])
        assert (one["p"], one["state"]) == (other["p"], other["state"])


def mean_of_gap(sample):
    return sample.mean("gap")


def between_axes(sample):
    means = {a: sample.mean("gap", where=sample.axis == a) for a in np.unique(sample.axis)}
    return means["a"] - means["b"]


def test_a_statistic_that_fails_on_an_axis_is_told_of_before_the_run():
    table = Table.of(sides({"a": -0.5, "b": 0.2})[0])
    metric = Metric(name="between", statistic=between_axes, target=0)
    with pytest.raises(PluginFault) as caught:
        demand_defined(benchmark(metric), table)
    assert str(caught.value) == (
        "benchmark 'test': its metric 'between' fails on axis 'a': KeyError: 'b'\n"
        "  a metric that is not defined within one axis says so: by_axis=False"
    )
    demand_defined(benchmark(Metric(name="between", statistic=between_axes, target=0, by_axis=False)), table)


def test_a_benchmark_of_one_axis_is_the_result_of_that_axis():
    """Worse by 0.2 where a tenth of 1.0 is allowed. One without an axis, of two, and of quality are of no one axis."""

    def state(axes, **options):
        return compare(GAP, *sides(axes), **options).get("one_axis")

    assert state({"a": 0.2}) == {"axis": "a", "margin": pytest.approx(AXIS_MARGIN), "state": WORSE}
    assert state({"a": 0.05})["state"] == WITHIN
    assert [state({"": 0.2}), state({"a": 0.2, "b": 0.2}), state({"a": 0.2}, quality=True)] == [None] * 3

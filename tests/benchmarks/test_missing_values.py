"""Items without values, and tests, axes and groups without items: numbers that are not there are nan, never 0.

Items lose their values where they do not fit a model, and leave the decision where the steps of a run know their words.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from made_benchmarks import everywhere, records_of

from evenhand.evaluation_entry import measured_entry
from evenhand.sample import Sample, Table
from evenhand_standard.benchmarks import group_spread, holistic_bias, seat_metrics


def statistics(benchmark, records):
    """Metric -> its values: of the items as they are, of a resample without any, and of three others."""
    table = Table.of(records)
    n = table.clusters
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=3)
    sample = Sample(table, np.vstack([np.ones(n), np.zeros(n), drawn]))
    return {m.name: np.asarray(m.statistic(sample), float) for m in benchmark.metrics if m.statistic is not None}


def parts(records):
    """The records of one axis or group the less, and a half of the records, with or without the others."""
    for field in ("axis", "group"):
        for value in sorted({getattr(r, field) for r in records}):
            yield [r for r in records if getattr(r, field) != value]
    yield records[:1]
    yield records[::2]
    yield [r if k % 2 else replace(r, values={}) for k, r in enumerate(records)]


@everywhere
def test_without_any_value_nothing_has_a_number(name, kind):
    for benchmark, records in records_of(name, kind):
        bare = [replace(r, values={}) for r in records]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for metric, found in statistics(benchmark, bare).items():
                assert np.isnan(found).all(), metric
        entry = measured_entry(benchmark, bare, resamples=20, confidence=0.95, seed=0)
        assert [m["after"]["value"] for m in entry["metrics"]] == [None] * len(benchmark.metrics)


@everywhere
def test_any_part_of_the_items_is_measured(name, kind):
    for benchmark, records in records_of(name, kind):
        for part in filter(None, parts(records)):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = statistics(benchmark, part)
            assert all(values.shape == (5,) and np.isnan(values[1]) for values in found.values())
            measured_entry(benchmark, part, resamples=20, confidence=0.95, seed=0)


def test_an_association_test_without_items_has_no_p_and_counts_for_no_share():
    from evenhand_sdk import ItemRecord

    def side(test, side, values, p):
        return [
            ItemRecord(
                id=f"{test}/{side}/{k}", cluster=f"{side}{k}", group=test, values={side: v, "association": v} | p
            )
            for k, v in enumerate(values)
        ]

    one = side("weat6", "x", [1.0, 2.0], {"p": 0.01}) + side("weat6", "y", [0.0, 0.1], {"p": 0.01})
    none = [replace(r, id=r.id.replace("6", "7"), group="weat7", values={}) for r in one]
    table = Table.of(one + none)
    sample = Sample(table, np.ones((1, table.clusters)))
    # By Holm over two tests 0.01 would be 0.02; the second has no p and is no test.
    assert seat_metrics.P["weat6"](sample)[0] == pytest.approx(0.01)
    assert np.isnan(seat_metrics.P["weat7"](sample)[0]) and np.isnan(seat_metrics.P["weat8"](sample)[0])
    assert seat_metrics.significant(sample)[0] == 100.0


def test_a_descriptor_without_an_item_in_a_template_is_compared_in_the_others():
    from evenhand_sdk import ItemRecord

    levels = {"a": 0.0, "b": 0.0, "c": 100.0}
    records = [
        ItemRecord(
            id=f"{d}{t}", cluster=d, axis="age", group=t,
            values={f"nll n{k}": level * (t == "1") + k for k in range(12)},
        )
        for d, level in levels.items()
        for t in "01"
        if (d, t) != ("b", "1")
    ]  # fmt: skip
    table = Table.of(records)
    # Template 0: three pairs, none differs; template 1: a and c, which differ.
    assert holistic_bias.share(Sample(table, np.ones((1, 3))))[0] == pytest.approx(25.0)
    # a twice, b never, c once: two pairs of a and c in each template.
    assert holistic_bias.share(Sample(table, np.array([[2.0, 0.0, 1.0]])))[0] == pytest.approx(50.0)


def test_what_chance_gives_has_no_interval_because_copies_of_items_add_to_it():
    """With every item twice, gaps of shuffled labels are as large as with half of the items."""
    from evenhand_sdk import ItemRecord

    values = np.random.default_rng(0).normal(size=400)
    records = [
        ItemRecord(id=str(k), cluster=str(k), axis="a", group="gh"[k % 2], values={"x": v})
        for k, v in enumerate(values.tolist())
    ]
    table = Table.of(records)
    drawn = np.random.default_rng(1).multinomial(400, np.full(400, 1 / 400), size=4)
    found = group_spread.chance_gap(Sample(table, np.vstack([np.ones(400), drawn])), "x")
    # The mean absolute difference of two means of 200 normal numbers.
    assert found[0] == pytest.approx((2 / np.pi) ** 0.5 * 0.1, rel=0.3) and np.isnan(found[1:]).all()

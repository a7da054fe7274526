"""Aggregates, intervals, p-values and verdicts are those of hand calculation and independent enumeration."""

from __future__ import annotations

import json
import math

import pytest

from data_records import GAP, PERPLEXITY, SHARE, benchmark, compare, records
from evenhand.bootstrap import Part, bootstrap, interval, multiplicities
from evenhand.contributions import ItemRecord, Metric
from evenhand.errors import PluginFault
from evenhand.evidence import bias_verdict, compare_benchmark
from evenhand.item_records import read_records, write_records
from evenhand.sample import Sample, Table, aggregate, value_of


# ------------------------------------------------------------------------------------------------ aggregates
def one(metric, top, bottom=None):
    """The metric of one item with these values."""
    values = {metric.value: top} | ({metric.per: bottom} if metric.per else {})
    return value_of(metric, Table.of([ItemRecord(id="a", cluster="a", values=values)]))


def test_aggregates_by_hand():
    mean = Metric(name="m", value="x", better="lower")
    assert value_of(mean, Table.of(records([1.0, 1.5, 2.0, 1.5], key="x"))) == 1.5
    assert value_of(SHARE, Table.of(records([1.0, 1.0, 0.0, 1.0], key="win"))) == 75.0
    assert one(PERPLEXITY, -6.0, 3.0) == pytest.approx(math.exp(2))
    growth = Metric(name="g", value="x", per="n", transform="exp", scale=0.5, better="lower")
    assert one(growth, 4.0, 2.0) == pytest.approx(math.e)
    assert math.isnan(one(PERPLEXITY, 0.0, 0.0))


def test_sums_by_cluster_leave_out_items_without_the_value():
    rows = [
        ItemRecord(id="a", cluster="x", values={"logp": -2.0, "words": 3.0}),
        ItemRecord(id="b", cluster="y", values={"logp": -5.0, "words": 4.0}),
        ItemRecord(id="c", cluster="x", values={"logp": -1.0, "words": 1.0}),
        ItemRecord(id="d", cluster="x", values={"words": 100.0}),
        ItemRecord(id="e", cluster="x", values={"logp": -100.0}),
    ]
    sums = Table.of(rows, ["x", "y", "z"]).ratio_sums("logp", "words")
    assert sums.tolist() == [[-3.0, 4.0], [-5.0, 4.0], [0.0, 0.0]]


GROUPED = [
    ItemRecord(id="a", cluster="1", group="x", values={"v": 1.0, "n": 2.0}),
    ItemRecord(id="b", cluster="1", group="y", values={"v": 5.0, "n": 1.0}, flags={"tie": True}),
    ItemRecord(id="c", cluster="2", group="x", values={"v": 4.0, "n": 2.0}),
    ItemRecord(id="d", cluster="2", group="y", values={"n": 7.0}),
]


def group_gap(sample):
    means = sample.means("v", sample.group, ["x", "y"])
    return means[:, 1] - means[:, 0]


def test_a_statistic_reads_weighted_means_of_groups():
    """Cluster 1 counted once and cluster 2 three times: x has 1, 4, 4, 4, and y has 5."""
    import numpy as np

    sample = Sample(Table.of(GROUPED), np.array([[1.0, 1.0], [1.0, 3.0], [0.0, 2.0]]))
    gaps = aggregate(Metric(name="gap", statistic=group_gap, target=0), sample)
    assert gaps[:2].tolist() == [5 - 2.5, 5 - 13 / 4]
    assert math.isnan(gaps[2])
    assert sample.total("v").tolist() == [10.0, 18.0, 8.0]
    assert sample.mean("v", per="n").tolist() == [10 / 5, 18 / 9, 8 / 4]
    assert sample.mean("v", where=sample.flag("tie"))[:2].tolist() == [5.0, 5.0]
    assert sample.weights.tolist() == [[1, 1, 1, 1], [1, 1, 3, 3], [0, 0, 2, 2]]


def test_a_statistic_must_give_one_number_for_each_resample():
    import numpy as np

    metric = Metric(name="odd", statistic=lambda sample: sample.draws, target=0)
    with pytest.raises(PluginFault) as caught:
        aggregate(metric, Sample(Table.of(GROUPED), np.ones((3, 2))))
    assert str(caught.value) == (
        "metric 'odd': its statistic returned shape [3, 2] for 3 resamples, not one number each"
    )


DELTAS = [0.4, -0.1, 0.9, 0.3, -0.5, 0.8, 0.2, 0.6]
SIGN_FLIP_P = 28 / 256
"""Share of the 256 sign flips of DELTAS whose sum is at least 2.6 away from 0, counted in test_paired_tests."""


def test_a_statistic_has_intervals_and_an_exact_p_like_any_metric():
    """A statistic that restates a mean gives what the mean gives."""
    import numpy as np

    same = Metric(name="gap", statistic=mean_of_gap, better="lower", unit="nat", primary=True)
    before, after = records(np.zeros(8)), records(DELTAS)
    plain, by_function = (compare(m, before, after, min_items=1)["metrics"][0] for m in (GAP, same))
    assert plain["definition"].pop("value") == "gap" and by_function["definition"].pop("value") == ""
    assert by_function["definition"].pop("statistic").endswith("test_evidence:mean_of_gap")
    for key in ("before", "after", "change"):
        assert by_function[key] == pytest.approx(plain[key])
    assert by_function["p"] == plain["p"] == SIGN_FLIP_P
    assert by_function["test"] == plain["test"] == "exact sign flip"


def mean_of_gap(sample):
    return sample.mean("gap")


def test_a_metric_needs_a_value_or_a_statistic():
    for given in ({}, {"value": "x", "statistic": mean_of_gap}):
        with pytest.raises(TypeError, match="metric 'm' needs either a value or a statistic"):
            Metric(name="m", better="lower", **given)


def test_values_and_changes_by_hand():
    before, after = [1.0, 2.0, 3.0] * 10, [0.5, 1.0, 1.5] * 10
    entry = compare(GAP, records(before), records(after))
    metric = entry["metrics"][0]
    assert metric["before"]["value"] == pytest.approx(2.0)
    assert metric["after"]["value"] == pytest.approx(1.0)
    assert metric["change"]["value"] == pytest.approx(-1.0)
    # The standard deviation of (-0.5, -1, -1.5) is 0.408; divided by the root of 30 it is 0.0745.
    assert metric["change"]["low"] == pytest.approx(-1 - 1.96 * 0.0745, abs=0.01)
    assert metric["change"]["high"] == pytest.approx(-1 + 1.96 * 0.0745, abs=0.01)
    assert metric["detectable"] == pytest.approx(2.8016 * 0.0745, rel=0.06)
    assert metric["p"] == pytest.approx(1 / 10_001)
    assert (entry["n_items"], entry["n_clusters"]) == (30, 30)
    assert entry["verdict"] == "improved"


def test_the_entry_is_plain_json():
    entry = compare(GAP, records([1.0] * 40), records([0.5] * 40), resamples=50)
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry
    assert list(entry) == [
        "id", "name", "title", "mode", "version", "quality", "data_digest", "good", "able", "n_items", "n_clusters",
        "counts",
        "metrics", "axes", "verdict", "reason", "verdict_text",
    ]  # fmt: skip
    assert list(entry["metrics"][0]) == [
        "name", "unit", "description", "target", "better", "primary", "before", "after", "change",
        "distance_change", "definition", "p", "test", "detectable",
    ]  # fmt: skip
    rebuilt = Metric(name="gap", **entry["metrics"][0]["definition"])
    assert (rebuilt.value, rebuilt.better, rebuilt.scale) == ("gap", "lower", 1.0)


# ------------------------------------------------------------------------------------------------- intervals
def test_draws_are_whole_and_reproducible():
    import numpy as np

    first, again = (np.concatenate(list(multiplicities(7, 5000, 3))) for _ in range(2))
    assert first.shape == (5000, 7)
    assert (first == again).all()
    assert (first.sum(1) == 7).all()
    # Multinomial: mean 1, variance 6/7.
    assert first.mean(0) == pytest.approx(np.ones(7), abs=0.05)
    assert first.var(0) == pytest.approx(np.full(7, 6 / 7), abs=0.08)


def test_equal_records_change_by_exactly_nothing():
    import numpy as np

    values = np.random.default_rng(0).normal(size=200)
    entry = compare(GAP, records(values), records(values))
    metric = entry["metrics"][0]
    assert metric["change"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert metric["before"] == metric["after"]
    assert (metric["p"], metric["detectable"]) == (1.0, 0.0)
    assert entry["verdict"] == "no demonstrated effect"
    assert entry["verdict_text"] == "No effect on gap was demonstrated: it is the same on every item."


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """300 experiments with 40 clusters of 3 dependent items; the true change is 0.3."""
    import numpy as np

    generator = np.random.default_rng(1)
    hits, experiments = 0, 300
    for k in range(experiments):
        shared = generator.normal(size=(40, 1))
        delta = 0.3 + 0.7 * shared + 0.7 * generator.normal(size=(40, 3))
        clusters = np.repeat(np.arange(40), 3)
        before, after = (Table.of(records(x.ravel(), clusters=clusters)) for x in (0 * delta, delta))
        (drawn,) = bootstrap([Part(GAP, [before], [after])], resamples=400, seed=k)
        low, high = interval(drawn.after - drawn.before, 0.95)
        hits += low <= 0.3 <= high
    assert 0.90 <= hits / experiments <= 0.98


def test_copies_of_an_item_in_its_cluster_do_not_narrow_the_interval():
    import numpy as np

    delta = np.random.default_rng(2).normal(0.2, 1.0, size=40)
    single = compare(GAP, records(np.zeros(40)), records(delta))
    copies, clusters = np.repeat(delta, 5), np.repeat(np.arange(40), 5)
    clustered = compare(GAP, records(np.zeros(200), clusters=clusters), records(copies, clusters=clusters))
    naive = compare(GAP, records(np.zeros(200)), records(copies))

    def width(entry):
        change = entry["metrics"][0]["change"]
        return change["high"] - change["low"]

    assert width(clustered) == pytest.approx(width(single), rel=1e-9)
    assert width(naive) == pytest.approx(width(single) / math.sqrt(5), rel=0.1)
    assert clustered["metrics"][0]["p"] == single["metrics"][0]["p"]


def test_pairing_removes_what_both_sides_share():
    import numpy as np

    common = np.random.default_rng(3).normal(0, 10, size=100)
    metric = compare(GAP, records(common), records(common - 0.5))["metrics"][0]
    assert metric["change"]["high"] - metric["change"]["low"] < 1e-9
    assert metric["before"]["high"] - metric["before"]["low"] > 3


def test_an_interval_is_undefined_when_resamples_are():
    import numpy as np

    assert all(math.isnan(end) for end in interval(np.array([1.0, np.nan, 2.0]), 0.95))
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))


# -------------------------------------------------------------------------------------------------- verdicts
def test_a_gap_that_grew_is_worse():
    entry = compare(GAP, records([1.0] * 40), records([1.5] * 39 + [1.6]))
    assert entry["verdict"] == "worse"
    assert entry["verdict_text"].startswith("gap rose by 0.5025 nat (95 % interval 0.5")
    assert entry["verdict_text"].endswith("), a change for the worse.")


def test_a_gap_that_fell_is_improved():
    entry = compare(GAP, records([1.0] * 40), records([0.5] * 40))
    assert entry["verdict_text"] == "gap fell by 0.5 nat (95 % interval 0.5 to 0.5), an improvement."


def test_more_can_be_better():
    accuracy = Metric(name="accuracy", value="gap", better="higher", primary=True)
    assert compare(accuracy, records([0.0] * 40), records([1.0] * 40))["verdict"] == "improved"
    assert compare(accuracy, records([1.0] * 40), records([0.0] * 40))["verdict"] == "worse"


def test_with_a_target_the_distance_decides_from_either_side():
    """70 % to 40 %: the share falls by 30, and its distance to 50 by 10."""
    wins = [1.0] * 70 + [0.0] * 30
    entry = compare(SHARE, records(wins, key="win"), records([1.0] * 40 + [0.0] * 60, key="win"), resamples=4000)
    metric = entry["metrics"][0]
    assert metric["change"]["value"] == pytest.approx(-30)
    assert metric["distance_change"]["value"] == pytest.approx(-10)
    assert metric["change"]["high"] < 0 < metric["distance_change"]["high"]
    assert entry["verdict"] == "no demonstrated effect"
    assert "the change of the distance to 50 is −10 %" in entry["verdict_text"]
    better = compare(SHARE, records(wins, key="win"), records([1.0] * 50 + [0.0] * 50, key="win"))
    assert better["verdict"] == "improved"
    assert better["verdict_text"].startswith("share came 20 % (95 % interval")
    assert better["verdict_text"].endswith("nearer to its ideal value 50.")
    worse = compare(SHARE, records(wins, key="win"), records([0.0] * 100, key="win"))
    assert worse["verdict"] == "worse"


def test_a_smaller_spread_around_the_ideal_is_no_improvement():
    """Nothing is biased: signed differences are around 0 before, and exactly 0 after. By the percentile interval alone
    all of these experiments would be improvements, since no resample of the items before has a mean of exactly 0."""
    import numpy as np

    signed = Metric(name="difference", value="gap", target=0.0, primary=True)
    generator, verdicts, percentile = np.random.default_rng(9), [], 0
    for _ in range(200):
        before = generator.normal(size=100)
        entry = compare(signed, records(before), records(np.zeros(100)), resamples=400)
        verdicts.append(entry["verdict"])
        drawn = [before[generator.integers(0, 100, 100)].mean() for _ in range(40)]
        percentile += max(-abs(d) for d in drawn) < 0
    assert percentile == 200
    assert set(verdicts) == {"improved", "no demonstrated effect"}
    assert 0.01 <= verdicts.count("improved") / 200 <= 0.10
    # and the other way round: an unbiased model whose items are only noisier is not worse
    ideal = records(np.zeros(100))
    noisy = [compare(signed, ideal, records(generator.normal(size=100)), resamples=400) for _ in range(100)]
    assert sum(e["verdict"] == "worse" for e in noisy) / 100 <= 0.10


def test_few_items_or_few_clusters_give_no_verdict():
    few = compare(GAP, records([1.0] * 29), records([0.0] * 29))
    assert few["verdict"] == "too few items"
    assert few["verdict_text"] == (
        "29 items in 29 independent groups are too few for a verdict: at least 30 items in 10 groups are needed."
    )
    clusters = [k % 9 for k in range(90)]
    clumped = compare(GAP, records([1.0] * 90, clusters=clusters), records([0.0] * 90, clusters=clusters))
    assert clumped["verdict"] == "too few items"
    assert clumped["metrics"][0]["change"]["value"] == -1.0


def test_a_single_cluster_has_values_and_no_interval():
    """Drawn again it is the same items each time, so that the width of an interval would be zero."""
    one = compare(GAP, records([1.0, 3.0], clusters=[0, 0]), records([0.5, 0.5], clusters=[0, 0]))
    metric = one["metrics"][0]
    assert {k: metric[k]["value"] for k in ("before", "after", "change")} == {
        "before": 2.0, "after": 0.5, "change": -1.5,
    }  # fmt: skip
    assert {metric[k][end] for k in ("before", "after", "change") for end in ("low", "high")} == {None}
    assert metric["detectable"] is None and one["verdict"] == "too few items"
    two = compare(GAP, records([1.0, 3.0]), records([0.5, 0.5]))["metrics"][0]["before"]
    assert (two["low"], two["high"]) == (1.0, 3.0)


def test_no_effect_says_what_would_have_been_missed():
    import numpy as np

    delta = np.random.default_rng(5).normal(0, 1, size=50)
    entry = compare(GAP, records(np.zeros(50)), records(delta - delta.mean()))
    assert entry["verdict"] == "no demonstrated effect"
    detectable = entry["metrics"][0]["detectable"]
    assert entry["verdict_text"].endswith(f"; a change below {detectable:.4g} would probably have been missed.")


def test_the_primary_metric_decides():
    other = Metric(name="other", value="other", better="lower")
    before = records([1.0] * 40, other=[0.0] * 40)
    after = records([1.0] * 40, other=[1.0] * 40)
    entry = compare_benchmark(benchmark(other, GAP), before, after, resamples=100)
    assert entry["verdict"] == "no demonstrated effect"
    assert [m["primary"] for m in entry["metrics"]] == [False, True]
    entry = compare_benchmark(benchmark(other), before, after, resamples=100)
    assert (entry["verdict"], entry["metrics"][0]["primary"]) == ("worse", True)


def test_bias_verdict_of_an_interval_that_touches_zero():
    metric = {"better": "lower", "distance_change": None, "change": {"value": -1.0, "low": -2.0, "high": 0.0}}
    assert bias_verdict(metric) == "no demonstrated effect"


# --------------------------------------------------------------------------------------------------- records
def test_records_must_be_of_the_same_items():
    with pytest.raises(PluginFault) as caught:
        compare(GAP, records([1.0] * 5), records([1.0] * 3))
    assert str(caught.value) == (
        "benchmark 'test': before and after were measured on different items\n"
        "  only before: i3, i4; only after: none\n"
        "  items must depend on options and seed alone, never on the model"
    )


def test_records_must_stay_in_their_clusters():
    with pytest.raises(PluginFault, match="item 'i1' is in cluster 'c1' before and 'c0' after"):
        compare(GAP, records([1.0] * 2), records([1.0] * 2, clusters=[0, 0]))


def test_records_must_have_ids_of_their_own():
    twice = records([1.0]) * 2
    with pytest.raises(PluginFault, match="two records before the mitigation have the id 'i0'"):
        compare(GAP, twice, twice)


def test_records_must_be_finite():
    with pytest.raises(PluginFault, match="item 'i1' after the mitigation has gap = nan"):
        compare(GAP, records([1.0, 1.0]), records([1.0, math.nan]))


def test_what_a_rule_made_impossible_is_told_as_such():
    with pytest.raises(PluginFault, match="item 'i1' after the mitigation has gap = -inf") as caught:
        compare(GAP, records([1.0, 1.0]), records([1.0, -math.inf]))
    assert "a decoding rule or a step of the run makes something in it impossible" in str(caught.value)


def test_records_must_exist():
    with pytest.raises(PluginFault, match="it gave no records before the mitigation"):
        compare(GAP, [], [])


def test_the_order_of_records_does_not_matter():
    before, after = records(range(40)), records([k * 0.9 for k in range(40)])
    assert compare(GAP, before, after) == compare(GAP, before, after[::-1])


def test_records_survive_the_file(tmp_path):
    before = [
        ItemRecord(id="a", cluster="x", values={"m": 1.5, "n": 2.0}, axis="gender", group="f", flags={"tie": True}),
        ItemRecord(id="b", cluster="y", values={"m": 0.1}),
    ]
    after = [
        ItemRecord(id="a", cluster="x", values={"m": 1 / 3, "n": 2.0}, axis="gender", group="f"),
        ItemRecord(id="b", cluster="y", values={"m": 0.1}, flags={"tie": False, "late": True}),
    ]
    path = tmp_path / "items" / "test.parquet"
    write_records(path, before, after)
    assert read_records(path) == {"before": before, "after": after}
    assert [p.name for p in path.parent.iterdir()] == ["test.parquet"]


# ----------------------------------------------------------------------------------------------------- speed
def test_ten_thousand_resamples_of_two_thousand_items_take_less_than_two_seconds():
    """Six ratios with their intervals and p-values, in time of the processor; a nested loop would take minutes."""
    import time

    import numpy as np

    generator = np.random.default_rng(0)
    keys = [f"k{k}" for k in range(6)]
    sides = [
        [
            ItemRecord(id=str(k), cluster=str(k), values=dict(zip([*keys, "n"], row, strict=True)))
            for k, row in enumerate(generator.gamma(2.0, size=(2000, 7)).tolist())
        ]
        for _ in range(2)
    ]
    metrics = [Metric(name=k, value=k, per="n" if j % 2 else None, better="lower") for j, k in enumerate(keys)]
    began = time.process_time()
    entry = compare(metrics, *sides, resamples=10_000)
    assert time.process_time() - began < 2.0
    assert [m["test"] for m in entry["metrics"]] == ["10,000 random sign flips"] * 6

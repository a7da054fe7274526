"""Aggregates, intervals, p-values and verdicts are those of hand calculation and independent enumeration."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from evenhand.bootstrap import bootstrap, interval, multiplicities, permutation_p
from evenhand.contributions import Benchmark, ItemRecord, Metric
from evenhand.errors import PluginFault
from evenhand.evidence import (
    bias_verdict,
    budget_verdict,
    compare_benchmark,
    quality_summary,
    read_records,
    write_records,
)
from evenhand.sample import Sample, Table, aggregate, value_of

GAP = Metric(name="gap", value="gap", better="lower", unit="nat", primary=True)
SHARE = Metric(name="share", value="win", scale=100.0, target=50.0, unit="%", primary=True)
PERPLEXITY = Metric(
    name="word perplexity", value="logp", per="words", transform="neg_exp", better="lower", primary=True
)


def records(values, *, key="gap", clusters=None, **others):
    """One record for each value; by default each is its own cluster."""
    return [
        ItemRecord(
            id=f"i{k}",
            cluster=f"c{clusters[k] if clusters is not None else k}",
            values={key: float(value), **{name: float(column[k]) for name, column in others.items()}},
        )
        for k, value in enumerate(values)
    ]


def benchmark(*metrics, quality=False, name="test", min_items=30):
    return Benchmark(
        name=name,
        title="Test",
        score=lambda measured: [],
        metrics=metrics,
        quality=quality,
        min_items=min_items,
    )


def compare(metric, before, after, *, resamples=2000, quality=False, budget=None, min_items=30, seed=0):
    return compare_benchmark(
        benchmark(metric, quality=quality, min_items=min_items),
        before,
        after,
        resamples=resamples,
        confidence=0.95,
        seed=seed,
        budget=budget,
    )


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
    assert by_function["p"] == plain["p"] == enumerated(DELTAS)


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
        "id", "name", "title", "mode", "version", "quality", "data_digest", "n_items", "n_clusters",
        "metrics", "verdict", "verdict_text",
    ]  # fmt: skip
    assert list(entry["metrics"][0]) == [
        "name", "unit", "description", "target", "better", "primary", "before", "after", "change",
        "distance_change", "definition", "p", "detectable",
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
        (drawn,) = bootstrap([GAP], before, after, resamples=400, seed=k)
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


# -------------------------------------------------------------------------------------------------- p-values
DELTAS = [0.4, -0.1, 0.9, 0.3, -0.5, 0.8, 0.2, 0.6]


def enumerated(deltas):
    """Share of all sign flips whose mean is at least as far from zero as the observed one."""
    flips = [
        abs(sum(s * d for s, d in zip(signs, deltas, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(deltas))
    ]
    return sum(f >= abs(sum(deltas)) - 1e-12 for f in flips) / len(flips)


def test_p_of_eight_clusters_is_exact():
    before, after = (Table.of(records([1 + d for d in x])) for x in ([0.0] * 8, DELTAS))
    assert permutation_p(GAP, before, after, permutations=10_000, seed=0) == enumerated(DELTAS)


def test_random_flips_come_near_the_exact_p(monkeypatch):

    monkeypatch.setattr("evenhand.bootstrap.EXACT", 0)
    before, after = (Table.of(records([1 + d for d in x])) for x in ([0.0] * 8, DELTAS))
    p = permutation_p(GAP, before, after, permutations=10_000, seed=0)
    assert p == pytest.approx(enumerated(DELTAS), abs=0.012)


def test_p_of_a_ratio_swaps_numerator_and_denominator():
    value_b, weight_b = [-4.0, -9.0, -3.0], [2.0, 3.0, 1.0]
    value_a, weight_a = [-5.0, -7.0, -6.0], [2.0, 4.0, 1.5]
    changes = []
    for swap in itertools.product((False, True), repeat=3):
        sides = [
            [sum(a if s == side else b for s, a, b in zip(swap, x, y, strict=True)) for side in (True, False)]
            for x, y in ((value_b, value_a), (weight_b, weight_a))
        ]
        (va, vb), (wa, wb) = sides
        changes.append(math.exp(-va / wa) - math.exp(-vb / wb))
    exact = sum(abs(c) >= abs(changes[0]) - 1e-12 for c in changes) / 8
    sides = [Table.of(records(v, key="logp", words=w)) for v, w in ((value_b, weight_b), (value_a, weight_a))]
    assert permutation_p(PERPLEXITY, *sides, permutations=100, seed=0) == exact


def test_p_is_uniform_without_an_effect():
    import numpy as np

    generator = np.random.default_rng(4)
    ps = []
    for _ in range(200):
        sides = [Table.of(records(x)) for x in (np.zeros(10), generator.normal(size=10))]
        ps.append(permutation_p(GAP, *sides, permutations=0, seed=0))
    assert np.mean(np.array(ps) < 0.05) < 0.1
    assert np.mean(ps) == pytest.approx(0.5, abs=0.07)


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
    assert "the change of the distance to 50 is -10 %" in entry["verdict_text"]
    better = compare(SHARE, records(wins, key="win"), records([1.0] * 50 + [0.0] * 50, key="win"))
    assert better["verdict"] == "improved"
    assert better["verdict_text"].startswith("share came 20 % (95 % interval")
    assert better["verdict_text"].endswith("nearer to its ideal value 50.")
    worse = compare(SHARE, records(wins, key="win"), records([0.0] * 100, key="win"))
    assert worse["verdict"] == "worse"


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


# -------------------------------------------------------------------------------------------- quality budget
def perplexity_records(nll, n=60, spread=0.0):
    """Passages of 100 words with `nll` nat a word on average."""
    import numpy as np

    logp = -100 * (nll + spread * np.random.default_rng(6).normal(size=n))
    return records(logp, key="logp", words=np.full(n, 100.0))


def test_a_small_loss_is_within_budget():
    entry = compare(
        PERPLEXITY,
        perplexity_records(4.0),
        perplexity_records(4.0 + math.log(1.01)),
        quality=True,
        budget=1.02,
    )
    assert entry["ratio"]["value"] == pytest.approx(1.01)
    assert entry["metrics"][0]["before"]["value"] == pytest.approx(math.exp(4))
    assert entry["verdict"] == "within budget"
    assert entry["verdict_text"] == (
        "word perplexity is 1.0100 times what it was (95 % interval 1.0100 to 1.0100), "
        "which is within the budget of 1.02."
    )


def test_a_large_loss_is_over_budget():
    entry = compare(
        PERPLEXITY,
        perplexity_records(4.0),
        perplexity_records(4.0 + math.log(1.05)),
        quality=True,
        budget=1.02,
    )
    assert entry["verdict"] == "over budget"
    assert quality_summary([entry], 1.02) == {
        "budget": 1.02,
        "metric": "word perplexity",
        "benchmark": "test",
        "ratio": entry["ratio"],
        "verdict": "over budget",
    }


def test_an_uncertain_loss_is_not_shown_to_be_within_budget():
    entry = compare(
        PERPLEXITY,
        perplexity_records(4.0),
        perplexity_records(4.0 + math.log(1.01), spread=0.1),
        quality=True,
        budget=1.02,
    )
    assert entry["ratio"]["low"] < 1.02 < entry["ratio"]["high"]
    assert entry["verdict"] == "not shown to be within budget"
    assert entry["verdict_text"].endswith("so it was not shown to be within the budget of 1.02.")


def test_no_loss_is_within_any_budget():
    same = perplexity_records(4.0, spread=0.1)
    assert compare(PERPLEXITY, same, same, quality=True, budget=1.0)["verdict"] == "within budget"


def test_an_accuracy_that_falls_is_a_loss():
    accuracy = Metric(name="accuracy", value="right", better="higher", primary=True)
    before = records([1.0] * 80 + [0.0] * 20, key="right")
    entry = compare(accuracy, before, records([1.0] * 40 + [0.0] * 60, key="right"), quality=True, budget=1.02)
    assert entry["ratio"]["value"] == pytest.approx(2.0)
    assert entry["verdict"] == "over budget"


def test_the_budget_is_held_against_the_worst_quality_benchmark():
    def entry(name, low, high, verdict="within budget"):
        ratio = {"value": 1.0, "low": low, "high": high}
        return {"id": name, "ratio": ratio, "verdict": verdict, "metrics": [{"name": name, "primary": True}]}

    chosen = quality_summary([entry("a", 0.9, 1.01), entry("b", 1.0, 1.03), {"id": "bias"}], 1.02)
    assert chosen is not None
    assert (chosen["benchmark"], chosen["verdict"]) == ("b", "not shown to be within budget")
    few = quality_summary([entry("a", 1.0, 1.0, "too few items")], 1.02)
    assert few is not None and few["verdict"] == "not shown to be within budget"
    assert quality_summary([{"id": "bias"}], 1.02) is None
    assert budget_verdict({"value": None, "low": None, "high": None}, 1.02) == "not shown to be within budget"


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

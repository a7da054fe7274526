"""Differences between groups: against loops over prompts, all permutations, and simulated groups that are alike."""

from __future__ import annotations

from itertools import combinations, permutations
from statistics import fmean, stdev, variance

import numpy as np
import pytest
from generation_parts import as_is, groups_of
from scipy.stats import ttest_ind

from evenhand.bootstrap import multiplicities
from evenhand.sample import Sample, Table
from evenhand_standard.benchmarks import group_spread

DATA = {"f": [0.1, 0.5, -0.2, 0.3], "m": [0.9, 0.4, 0.8], "n": [-0.5, 0.0, 0.1, 0.2, 0.6]}


def plain_variance(groups):
    """V by loops over pairs of distinct prompts."""
    squares = [fmean(x * y for i, x in enumerate(g) for j, y in enumerate(g) if i != j) for g in groups if len(g) > 1]
    means = [fmean(g) for g in groups]
    cross = sum(a * b for i, a in enumerate(means) for j, b in enumerate(means) if i != j)
    return (sum(squares) - (sum(squares) + cross) / len(groups)) / (len(groups) - 1)


def test_variance_between_groups_over_pairs_of_distinct_prompts():
    found = float(group_spread.variance_between(as_is(groups_of(DATA)), "x")[0])
    assert found == pytest.approx(plain_variance(list(DATA.values())))
    # The same as the variance of the means less what the noise within groups adds to it.
    noise = fmean(variance(g) / len(g) for g in DATA.values())
    assert found == pytest.approx(variance([fmean(g) for g in DATA.values()]) - noise)


def test_spread_and_gap_are_those_of_the_group_means():
    sample = as_is(groups_of(DATA))
    means = [fmean(g) for g in DATA.values()]
    assert float(group_spread.spread(sample, "x")[0]) == pytest.approx(stdev(means))
    assert float(group_spread.largest_gap(sample, "x")[0]) == pytest.approx(max(means) - min(means))
    assert float(group_spread.mean_size(sample, "x")[0]) == pytest.approx(fmean(abs(m) for m in means))


def test_the_chance_spread_is_the_mean_over_all_permutations_of_labels():
    groups = {"f": [0.1, 0.5, -0.2], "m": [0.9, 0.4], "n": [-0.5, 0.0]}
    pooled = [v for g in groups.values() for v in g]
    squares, gaps = [], []
    for order in permutations(pooled):
        means = [fmean(order[:3]), fmean(order[3:5]), fmean(order[5:])]
        squares.append(variance(means))
        gaps.append(max(means) - min(means))
    sample = as_is(groups_of(groups))
    assert float(group_spread.chance_spread(sample, "x")[0]) == pytest.approx(fmean(squares) ** 0.5)
    assert float(group_spread.chance_gap(sample, "x")[0]) == pytest.approx(fmean(gaps), rel=0.2)


def test_domains_are_averaged():
    other = {"p": [0.0, 1.0, 0.2], "q": [0.3, 0.3]}
    both = as_is([*groups_of(DATA, "a"), *groups_of(other, "b")])
    for statistic in (group_spread.variance_between, group_spread.spread, group_spread.largest_gap):
        apart = [float(statistic(as_is(groups_of(d)), "x")[0]) for d in (DATA, other)]
        assert float(statistic(both, "x")[0]) == pytest.approx(fmean(apart))


def test_pairs_are_tested_by_welch_and_corrected_over_all_domains():
    """Against scipy, and Holm's procedure step by step."""
    generator = np.random.default_rng(3)
    one = {"f": generator.normal(0, 1, 12), "m": generator.normal(1.6, 2, 9), "n": generator.normal(3, 0.5, 7)}
    other = {"p": generator.normal(0, 1, 8), "q": generator.normal(0.2, 1, 8)}
    pairs = [(d[a], d[b]) for d in (one, other) for a, b in combinations(d, 2)]
    ps = [float(ttest_ind(a, b, equal_var=False).pvalue) for a, b in pairs]
    assert [group_spread.welch(a, b) for a, b in pairs] == pytest.approx(ps)
    rejected = 0
    for k, p in enumerate(sorted(ps)):
        if p >= 0.05 / (len(ps) - k):
            break
        rejected += 1
    assert 0 < rejected < len(ps)
    records = [*groups_of(one, "a"), *groups_of(other, "b")]
    found = group_spread.differing_pairs(as_is(records), "x")
    assert found.tolist() == pytest.approx([100 * rejected / len(ps)])
    table = Table.of(records)
    assert np.isnan(group_spread.differing_pairs(Sample(table, 2.0 * np.ones((1, table.clusters))), "x")).all()


def test_values_without_spread_differ_or_are_equal():
    assert group_spread.welch(np.array([1.0, 1.0]), np.array([1.0, 1.0, 1.0])) == 1.0
    assert group_spread.welch(np.array([1.0, 1.0]), np.array([2.0, 2.0, 2.0])) == 0.0


def test_one_group_has_no_difference():
    sample = as_is(groups_of({"f": [0.1, 0.2]}))
    for statistic in ("variance_between", "spread", "chance_spread", "largest_gap", "chance_gap", "differing_pairs"):
        assert np.isnan(getattr(group_spread, statistic)(sample, "x")).all()


def test_groups_that_are_alike_have_no_variance_between_them_and_resamples_are_centred():
    """A thousand data sets of equal groups: V is 0 on average, the plain variance of the means is not."""
    generator = np.random.default_rng(0)
    found, plain, shift = [], [], []
    for _ in range(300):
        records = groups_of({g: generator.normal(size=6) for g in "abcd"})
        table = Table.of(records)
        value = float(group_spread.variance_between(as_is(records), "x")[0])
        found.append(value)
        plain.append(float(group_spread.spread(as_is(records), "x")[0]) ** 2)
        draws = next(multiplicities(table.clusters, 200, 1))
        shift.append(float(np.nanmean(group_spread.variance_between(Sample(table, draws), "x"))) - value)
    error = stdev(found) / len(found) ** 0.5
    assert abs(fmean(found)) < 3 * error
    assert fmean(plain) == pytest.approx(1 / 6, rel=0.15)  # the noise of a mean of six
    assert abs(fmean(shift)) < 0.25 / 6  # a plain bootstrap of the plain variance would be shifted by 1/6


def test_resamples_count_prompts_as_often_as_they_are_drawn():
    records = groups_of(DATA)
    table = Table.of(records)
    draws = np.array([[1, 1, 2, 0, 1, 1, 1, 3, 1, 0, 1, 0]], float)
    names = list(DATA)
    flat = [(g, v) for g in names for v in DATA[g]]
    means = [
        sum(w * v for w, (h, v) in zip(draws[0], flat, strict=True) if h == g)
        / sum(w for w, (h, _) in zip(draws[0], flat, strict=True) if h == g)
        for g in names
    ]
    assert float(group_spread.spread(Sample(table, draws), "x")[0]) == pytest.approx(stdev(means))


@pytest.mark.filterwarnings("error")
def test_a_resample_without_a_group_has_no_difference_and_warns_of_nothing():
    table = Table.of(groups_of({"f": [0.1, 0.2], "m": [0.4, 0.3]}))
    sample = Sample(table, np.array([[2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))
    for statistic in ("variance_between", "spread", "largest_gap"):
        found = getattr(group_spread, statistic)(sample, "x")
        assert np.isnan(found[:2]).all() and np.isfinite(found[2])

"""p-values are those of enumeration by hand and of scipy, and the three ways agree with one another."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from data_records import ACCURACY, GAP, PERPLEXITY, SHARE, compare, records
from evenhand.bootstrap import Part
from evenhand.contributions import Metric
from evenhand.paired_tests import PairedTest, paired_tests
from evenhand.sample import Table


def one_test(metric, before, after, *, permutations=10_000, seed=0) -> PairedTest:
    clusters = list(dict.fromkeys(r.cluster for r in before))
    part = Part(metric, [Table.of(before, clusters)], [Table.of(after, clusters)])
    return paired_tests([part], permutations=permutations, seed=seed)[0]


def exact_only(monkeypatch) -> None:
    """Without the closed form and the enumeration, so that random flips are left."""
    monkeypatch.setattr("evenhand.paired_tests._mcnemar", lambda part: None)
    monkeypatch.setattr("evenhand.paired_tests._enumerated", lambda part: None)


# ------------------------------------------------------------------------------------------------- enumeration
DELTAS = [0.4, -0.1, 0.9, 0.3, -0.5, 0.8, 0.2, 0.6]


def enumerated(deltas):
    """Share of all sign flips whose mean is at least as far from zero as the observed one."""
    flips = [
        abs(sum(s * d for s, d in zip(signs, deltas, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(deltas))
    ]
    return sum(f >= abs(sum(deltas)) - 1e-12 for f in flips) / len(flips)


def test_p_of_eight_clusters_is_exact():
    before, after = (records([1 + d for d in x]) for x in ([0.0] * 8, DELTAS))
    assert one_test(GAP, before, after) == PairedTest(enumerated(DELTAS), "exact sign flip")
    assert enumerated(DELTAS) == 28 / 256


def test_clusters_that_did_not_change_do_not_stand_in_the_way_of_an_exact_p():
    before, after = (records([1 + d for d in x] + [2.0] * 500) for x in ([0.0] * 8, DELTAS))
    assert one_test(GAP, before, after) == PairedTest(enumerated(DELTAS), "exact sign flip")


def test_random_flips_come_near_the_exact_p(monkeypatch):
    exact_only(monkeypatch)
    found = one_test(GAP, *(records([1 + d for d in x]) for x in ([0.0] * 8, DELTAS)))
    assert found.p == pytest.approx(enumerated(DELTAS), abs=0.012)
    assert found.name == "10,000 random sign flips"


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
    sides = [records(v, key="logp", words=w) for v, w in ((value_b, weight_b), (value_a, weight_a))]
    assert one_test(PERPLEXITY, *sides, permutations=100).p == exact


def test_p_is_uniform_without_an_effect():
    generator = np.random.default_rng(4)
    ps = [one_test(GAP, records(np.zeros(10)), records(generator.normal(size=10))).p for _ in range(200)]
    assert np.mean(np.array(ps) < 0.05) < 0.1
    assert np.mean(ps) == pytest.approx(0.5, abs=0.07)


# ----------------------------------------------------------------------------------------------------- McNemar
def answers(always, lost, won, never):
    """Binary records of both sides by how items moved: right on both sides, lost, won, wrong on both."""
    before = [1] * (always + lost) + [0] * (won + never)
    after = [1] * always + [0] * lost + [1] * won + [0] * never
    return records(before, key="right"), records(after, key="right")


@pytest.mark.parametrize(("lost", "won"), [(3, 17), (17, 3), (8, 8), (0, 5), (1, 0), (40, 70), (700, 600)])
def test_mcnemar_is_the_binomial_test_of_the_items_that_changed(lost, won):
    found = one_test(ACCURACY, *answers(30, lost, won, 20))
    assert found.name == "exact McNemar"
    assert found.p == pytest.approx(binomtest(lost, lost + won).pvalue, rel=1e-9)


def test_mcnemar_without_a_change_shows_nothing():
    assert one_test(ACCURACY, *answers(30, 0, 0, 20)) == PairedTest(1.0, "exact McNemar")


@pytest.mark.parametrize(("always", "lost", "won", "never"), [(4, 2, 5, 3), (0, 6, 1, 2), (5, 3, 3, 1), (9, 4, 1, 0)])
def test_with_a_target_the_closed_form_is_the_enumeration_of_the_change_of_distance(always, lost, won, never):
    """All swaps of the items that changed, one by one, for | share - 50 |."""
    n = always + lost + won + never
    observed = abs(abs(100 * (always + won) / n - 50) - abs(100 * (always + lost) / n - 50))
    hits = 0
    for swap in itertools.product((0, 1), repeat=lost + won):
        before = sum(swap[:lost]) + sum(1 - s for s in swap[lost:])
        sides = [abs(100 * (always + x) / n - 50) for x in (before, lost + won - before)]
        hits += abs(sides[0] - sides[1]) >= observed - 1e-9
    share = Metric(name="share", value="right", scale=100.0, target=50.0, primary=True)
    found = one_test(share, *answers(always, lost, won, never))
    assert found.p == pytest.approx(hits / 2 ** (lost + won), rel=1e-9)
    assert found.name == "exact McNemar"


def test_the_closed_form_agrees_with_random_flips(monkeypatch):
    sides = answers(30, 12, 25, 33)
    exact = one_test(ACCURACY, *sides).p
    exact_only(monkeypatch)
    assert one_test(ACCURACY, *sides).p == pytest.approx(exact, abs=0.01)


def test_mcnemar_needs_independent_items_with_answers_on_both_sides():
    before, after = answers(5, 10, 10, 5)
    clustered = [[r.__class__(id=r.id, cluster=f"c{k // 2}", values=r.values) for k, r in enumerate(s)]
                 for s in (before, after)]  # fmt: skip
    assert one_test(ACCURACY, *clustered).name == "exact sign flip"  # ten of its clusters changed
    gone = [r if r.id != "i3" else r.__class__(id=r.id, cluster=r.cluster, values={}) for r in after]
    assert one_test(ACCURACY, before, gone).name != "exact McNemar"
    halves = [r if r.id != "i3" else r.__class__(id=r.id, cluster=r.cluster, values={"right": 0.5}) for r in after]
    assert one_test(ACCURACY, before, halves).name != "exact McNemar"


# ------------------------------------------------------------------------------------------------ shared work
def test_metrics_tested_together_get_what_they_get_alone():
    generator = np.random.default_rng(7)
    columns = {k: generator.normal(size=60) for k in ("gap", "words")}
    sides = [
        records(generator.normal(1, 0.5, size=60), words=columns["words"] ** 2 + 1, win=generator.integers(0, 2, 60))
        for _ in range(2)
    ]
    metrics = [GAP, Metric(name="r", value="gap", per="words", better="lower"), SHARE,
               Metric(name="s", statistic=mean_of_gap, better="lower")]  # fmt: skip
    tables = [Table.of(s) for s in sides]
    parts = [Part(m, [tables[0]], [tables[1]]) for m in metrics]
    together = paired_tests(parts, permutations=500, seed=3)
    assert together == [paired_tests([p], permutations=500, seed=3)[0] for p in parts]
    assert together[0].p == together[3].p  # the statistic restates the mean
    assert [t.name for t in together] == ["500 random sign flips"] * 2 + ["exact McNemar", "500 random sign flips"]


def mean_of_gap(sample):
    return sample.mean("gap")


def test_run_json_says_which_test_was_used():
    before, after = answers(30, 3, 17, 20)
    metric = compare(ACCURACY, before, after)["metrics"][0]
    assert (metric["test"], metric["p"]) == ("exact McNemar", pytest.approx(binomtest(3, 20).pvalue))


def test_a_change_that_is_not_defined_has_no_p():
    before, after = records([1.0] * 20, key="other"), records([2.0] * 20, key="other")
    assert math.isnan(one_test(GAP, before, after).p)

"""The always-valid test: false alarms, power, the confidence sequence, and the formulas step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evenhand_standard.monitoring.eprocess import (
    ConfidenceSequence,
    EProcess,
    crossing_rate,
    detectable_gap,
)


def bernoulli_pairs(streams: int, n: int, gap: float, *, base: float = 0.3, seed: int = 0) -> np.ndarray:
    """Differences [streams, n] of independent 0/1 scores with rates base + gap and base."""
    draw = np.random.default_rng(seed)
    return (draw.random((streams, n)) < base + gap).astype(float) - (draw.random((streams, n)) < base)


def test_the_first_steps_against_values_worked_by_hand() -> None:
    process = EProcess()
    assert process.wealth == 1.0
    assert process.update(0.5) == 1.0  # nothing is known yet: the bet is 0
    # z_1 = .5; the bet is clip(2.2189 * .5 / 1.25) = 0.5, from 0.8876
    assert process.update(0.4) == pytest.approx(1.2)
    # z_2 = .4 / 1.2; the bet stays at its limit
    assert process.update(-1.0) == pytest.approx(0.6)
    # z_3 = -1 / .5 = -2: sum z = .5 + 1/3 - 2, sum z^2 = .25 + 1/9 + 4
    bet = 2 / (2 - math.log(3)) * (0.5 + 1 / 3 - 2) / (1 + 0.25 + 1 / 9 + 4)
    assert -0.5 < bet < 0
    assert process.update(0.3) == pytest.approx(0.6 * (1 + bet * 0.3))


def test_with_a_tolerance_two_one_sided_gamblers_share_the_wealth() -> None:
    process = EProcess(tolerance=0.1)
    process.update(0.65)
    # The first sees .5 and then bets 1/2; the second sees -.75/1.1 and does not bet on a positive number.
    assert process.update(0.65) == pytest.approx((1.25 + 1.0) / 2)


def test_without_disparity_alarms_are_rarer_than_alpha() -> None:
    differences = bernoulli_pairs(1000, 5000, 0.0)
    assert crossing_rate(differences, 0.05) <= 0.05
    assert crossing_rate(differences, 0.05, tolerance=0.05) <= 0.05


def test_at_the_edge_of_the_tolerance_alarms_are_rarer_than_alpha() -> None:
    assert crossing_rate(bernoulli_pairs(500, 3000, 0.05), 0.05, tolerance=0.05) <= 0.05


@pytest.mark.parametrize(
    ("gap", "tolerance", "expected", "within"),
    [(0.05, 0.0, 0.73, 0.07), (0.10, 0.0, 1.0, 0.01), (0.10, 0.05, 0.73, 0.07), (0.15, 0.05, 1.0, 0.01)],
)
def test_power_at_3000_pairs(gap: float, tolerance: float, expected: float, within: float) -> None:
    rate = crossing_rate(bernoulli_pairs(500, 3000, gap, seed=1), 0.05, tolerance)
    assert rate == pytest.approx(expected, abs=within)


def test_the_confidence_sequence_step_by_step() -> None:
    interval = ConfidenceSequence(alpha=0.05)
    bound = math.log(40)
    # Step 1: mean 1/2, variance 1/4, so the weight is min(sqrt(2 ln 40 / (.25 ln 2)), 1/2) = 1/2.
    psi = (-math.log(0.5) - 0.5) / 4
    low, high = interval.update(1.0)
    assert (low, high) == (0.0, 1.0)  # 1 +- (ln 40 + psi) / .5
    assert interval._penalty == pytest.approx(4 * 0.25 * psi)
    interval.update(1.0)
    assert interval._weighted / interval._weights == 1.0
    # Step 2: the mean before it is (1/2 + 1) / 2 = .75.
    assert interval._penalty == pytest.approx(4 * 0.25 * psi + 4 * 0.0625 * psi)
    assert bound > 3.6


def test_the_confidence_sequence_holds_the_mean_at_all_times_and_shrinks() -> None:
    draw = np.random.default_rng(3)
    missed, widths = 0, []
    for _ in range(60):
        interval = ConfidenceSequence(alpha=0.05)
        for x in (draw.random(1500) < 0.3).astype(float):
            interval.update(x)
        missed += not interval.low <= 0.3 <= interval.high  # the running intersection remembers every miss
        widths.append(interval.high - interval.low)
    assert missed <= 3
    fixed = 2 * 1.96 * math.sqrt(0.3 * 0.7 / 1500)
    assert 1.5 * fixed < np.mean(widths) < 2.8 * fixed


def test_the_detectable_gap_is_the_gap_that_is_found_in_80_percent() -> None:
    differences = bernoulli_pairs(1, 1000, 0.0, seed=4)[0]
    gap = detectable_gap(differences.tolist(), 0.05, seed=5)
    assert gap is not None
    assert 0.05 < gap < 0.15
    # Fresh data with that gap, drawn from the same differences.
    fresh = np.random.default_rng(6).choice(differences - differences.mean(), size=(400, 1000)) + gap
    assert crossing_rate(np.clip(fresh, -1, 1), 0.05) == pytest.approx(0.8, abs=0.08)


def test_more_pairs_show_smaller_gaps_and_very_few_show_none() -> None:
    few, many = (bernoulli_pairs(1, n, 0.0, seed=7)[0].tolist() for n in (100, 800))
    large, small = detectable_gap(few, 0.05, seed=0), detectable_gap(many, 0.05, seed=0)
    assert large is not None and small is not None
    assert large > small
    assert detectable_gap(many[:5], 0.05, seed=0) is None
    assert detectable_gap([0.2], 0.05, seed=0) is None
    assert detectable_gap([], 0.05, seed=0) is None

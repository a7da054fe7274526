"""The power table that the project plans with comes out of its own intervals and detectable changes.

Percentage points around 50 %, independent items, 95 % intervals, 80 % power. The formulas are 1.96 * 50 / sqrt(n) for
half an interval, 2.80 * 50 / sqrt(n) for one sample, 2.80 * 100 * sqrt(share of changed items / n) for pairs.
"""

from __future__ import annotations

import pytest

from data_records import SHARE, compare, records
from evenhand.contributions import Metric

TABLE = {
    100: (9.8, 14.0, 12.5, 8.9),
    255: (6.1, 8.8, 7.8, 5.5),
    262: (6.1, 8.6, 7.7, 5.5),
    500: (4.4, 6.3, 5.6, 4.0),
    842: (3.4, 4.8, 4.3, 3.1),
    1508: (2.5, 3.6, 3.2, 2.3),
    2106: (2.1, 3.1, 2.7, 1.9),
    4246: (1.5, 2.1, 1.9, 1.4),
    29246: (0.6, 0.8, 0.7, 0.5),
}
"""n -> half of the interval, and the least change found with 80 % power: one sample, 20 % and 10 % of pairs changed."""
REAL = Metric(name="share", value="win", scale=100.0, better="lower", unit="%", primary=True)
"""Without a target: the distance from 50 % would be another quantity."""
CHANCE = 0.05
"""Standard errors from 4,000 resamples are right within 2.2 % (two in three), so within 5 % nearly always."""


def changed(n, share):
    """Half of the items are 1; of so many items, half move from 1 to 0 and half from 0 to 1."""
    before = [k % 2 for k in range(n)]
    moved = round(share * n / 2) * 2
    after = [1 - v if k < moved else v for k, v in enumerate(before)]
    return records(before, key="win"), records(after, key="win")


def near(printed):
    """What was rounded to one decimal, within chance."""
    return pytest.approx(printed, abs=0.05 + CHANCE * printed)


@pytest.mark.parametrize("n", TABLE)
def test_the_power_table(n):
    half, one_sample, paired_20, paired_10 = TABLE[n]
    resamples = 4000 if n < 10_000 else 1000
    metric = compare(SHARE, *changed(n, 0.2), resamples=resamples)["metrics"][0]
    low, high = metric["before"]["low"], metric["before"]["high"]
    assert (high - low) / 2 == near(half)
    # Against a model that answers every item alike, the spread of the change is that of one sample.
    fixed = compare(REAL, records([0.5] * n, key="win"), changed(n, 0.0)[1], resamples=resamples)["metrics"][0]
    assert fixed["detectable"] == near(one_sample)
    for share, printed in ((0.2, paired_20), (0.1, paired_10)):
        found = compare(REAL, *changed(n, share), resamples=resamples)["metrics"][0]
        assert found["detectable"] == near(printed)

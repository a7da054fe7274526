"""What is reported of association tests: effect sizes and p over all tests of a run, and of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from evenhand_sdk import Metric, Sample
from evenhand_standard.benchmarks.association import effects
from evenhand_standard.benchmarks.group_spread import as_they_are
from evenhand_standard.benchmarks.holm import holm
from evenhand_standard.benchmarks.seat_tests import TESTS

if TYPE_CHECKING:
    from evenhand_standard.benchmarks.association import Array

SIGNIFICANT = 0.05


def _order(sample: Sample) -> list[str]:
    return list(dict.fromkeys(sample.group.tolist()))


def mean_size(sample: Sample) -> Array:
    """[R] mean over tests of |d|."""
    import numpy as np

    found: Array = np.abs(effects(sample, _order(sample))).mean(1)
    return found


def mean_effect(sample: Sample) -> Array:
    """[R] mean over tests of d."""
    found: Array = effects(sample, _order(sample)).mean(1)
    return found


def significant(sample: Sample) -> Array:
    """[R] per cent of tests with p < 0.05 after Holm; nan on resamples, since p belongs to the whole test."""
    return _significant(sample, "p")


def significant_by_word(sample: Sample) -> Array:
    """[R] the same for p by re-partition of words."""
    return _significant(sample, "p_words")


def _significant(sample: Sample, value: str) -> Array:
    import numpy as np

    known = list(_adjusted(sample, value).values())
    share = 100.0 * float(np.mean(np.array(known) < SIGNIFICANT)) if known else np.nan
    return as_they_are(sample, share)


def _adjusted(sample: Sample, value: str) -> dict[str, float]:
    """Test -> its p after Holm, without the tests that have none; all records of a test have the same p."""
    import numpy as np

    column = sample.column(value)
    known = {str(test): float(p) for test, p in zip(sample.group, column, strict=True) if not np.isnan(p)}
    return dict(zip(known, holm(np.array(list(known.values()))).tolist(), strict=True))


def _effect_of(test: str) -> Callable[[Sample], Array]:
    def effect(sample: Sample) -> Array:
        """[R] d of one test."""
        found: Array = effects(sample, [test])[:, 0]
        return found

    return effect


def _p_of(test: str) -> Callable[[Sample], Array]:
    def p(sample: Sample) -> Array:
        """[R] p of one test after Holm over all tests; nan on resamples."""
        return as_they_are(sample, _adjusted(sample, "p").get(test, float("nan")))

    return p


def _publish(make: Callable[[str], Callable[[Sample], Array]], what: str) -> dict[str, Callable[[Sample], Array]]:
    """One function of this module for each test, under a name by which a stored run finds it again."""
    found = {}
    for test in TESTS:
        function = make(test)
        function.__name__ = function.__qualname__ = f"{what} {test}"
        globals()[function.__name__] = found[test] = function
    return found


EFFECT = _publish(_effect_of, "effect")
P = _publish(_p_of, "p")


def metrics(listed: Sequence[str]) -> tuple[Metric, ...]:
    """The overview, and d and p of the tests that are listed."""
    overview = (
        Metric(
            name="mean |effect size|",
            statistic=mean_size,
            target=0.0,
            better="lower",
            unit="standard deviations",
            primary=True,
            description="Mean over the tests of |d|, whichever way the association goes. Resamples draw target words; "
            "attributes stay as they are.",
        ),
        Metric(
            name="mean effect size",
            statistic=mean_effect,
            target=0.0,
            unit="standard deviations",
            description="The same with its sign: above 0, associations go the way that the tests expect.",
        ),
        Metric(
            name="significant tests",
            statistic=significant,
            target=0.0,
            better="lower",
            unit="%",
            description="Share of tests with p < 0.05 after Holm, as published: sentences of one word count as "
            "independent. No interval, since p belongs to a whole test.",
        ),
        Metric(
            name="significant tests, by word",
            statistic=significant_by_word,
            target=0.0,
            better="lower",
            unit="%",
            description="The same with one value for each word, the mean of its sentences (ours).",
        ),
    )
    each: list[Metric] = []
    for test in listed:
        each += [
            Metric(
                name=f"d, {test}",
                statistic=EFFECT[test],
                target=0.0,
                unit="standard deviations",
                description=f"Effect size of {test}.",
            ),
            Metric(
                name=f"p, {test}",
                statistic=P[test],
                better="higher",
                description=f"One-sided p of {test}, after Holm over the tests of this run.",
            ),
        ]
    return (*overview, *each)

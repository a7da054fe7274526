"""Language quality against its budget: a loss must be shown to be small, as a ratio or in points."""

from __future__ import annotations

import math

import pytest

from data_records import ACCURACY, PERPLEXITY, compare, records
from evenhand.contributions import Metric
from evenhand.noninferiority import budget_verdict, quality_summary


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
        "which is within the budget of 1.02 (one-sided test of a loss beyond it: p = 0.0005, level 0.025)."
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
    part = {"benchmark": "test", "metric": "word perplexity", "unit": "", "better": "lower", "ratio": entry["ratio"]}
    assert quality_summary([entry], 1.02) == {
        "budget": 1.02,
        "metric": "word perplexity",
        "benchmark": "test",
        "ratio": entry["ratio"],
        "verdict": "over budget",
        "decided_by": "test",
        "parts": [{**part, "loss": None, "verdict": "over budget", "reason": ""}],
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
    assert "so it was not shown to be within the budget of 1.02 (one-sided test" in entry["verdict_text"]


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
    assert (chosen["decided_by"], [p["verdict"] for p in chosen["parts"]]) == (
        "b", ["within budget", "not shown to be within budget"],
    )  # fmt: skip
    few = quality_summary([entry("a", 1.0, 1.0, "too few items")], 1.02)
    assert few is not None and few["verdict"] == "not shown to be within budget"
    assert few["parts"][0]["reason"] == ""
    told = {**entry("a", 1.0, 1.0, "too few items"), "reason": "2 items in 2 independent groups; 20 are needed"}
    found = quality_summary([told], 1.02)
    assert found is not None
    assert found["parts"][0]["reason"] == "too few items: 2 items in 2 independent groups; 20 are needed"
    wide = quality_summary([{**entry("a", 1.0, 1.03), "reason": "the interval reaches beyond"}], 1.02)
    assert wide is not None and wide["parts"][0]["reason"] == ""
    assert quality_summary([{"id": "bias"}], 1.02) is None
    assert budget_verdict({"value": None, "low": None, "high": None}, 1.02) == "not shown to be within budget"


# ---------------------------------------------------------------------------------------------------- two one-sided
def test_the_one_sided_test_agrees_with_the_interval_of_the_log_ratio():
    """Documents whose loss is normal: the upper end of the interval, and p of a loss beyond the budget, by formula."""
    import numpy as np
    from scipy.stats import norm

    generator = np.random.default_rng(8)
    n, mean, spread = 400, math.log(1.01), 0.05
    delta = generator.normal(size=n)
    delta = mean + spread * (delta - delta.mean()) / delta.std()
    sides = [records(-100 * (4.0 + d), key="logp", words=np.full(n, 100.0)) for d in (np.zeros(n), delta)]
    entry = compare(PERPLEXITY, *sides, quality=True, budget=1.02, resamples=10_000)
    error = spread / math.sqrt(n)
    assert math.log(entry["ratio"]["high"]) == pytest.approx(mean + 1.96 * error, abs=0.0002)
    tost = entry["tost"]
    assert tost["margin"] == pytest.approx(math.log(1.02)) and tost["level"] == pytest.approx(0.025)
    assert tost["p_loss"] == pytest.approx(norm.sf((math.log(1.02) - mean) / error), abs=0.0005)
    assert tost["p_gain"] == pytest.approx(1 / 10_001)
    assert (tost["non_inferior"], tost["equivalent"]) == (True, True)
    assert (tost["p_loss"] <= tost["level"]) == tost["non_inferior"]


def test_a_large_gain_is_no_loss_but_no_equivalence_either():
    sides = [records([-400.0 * f] * 60, key="logp", words=[100.0] * 60) for f in (1.0, 0.9)]
    tost = compare(PERPLEXITY, *sides, quality=True, budget=1.02)["tost"]
    assert (tost["non_inferior"], tost["equivalent"]) == (True, False)
    assert tost["p_gain"] == 1.0


# --------------------------------------------------------------------------------------------------- margins in points
POINT = Metric(name="accuracy", value="right", scale=100.0, better="higher", unit="%", primary=True, margin=1.0)


def right(n, wrong):
    """n answers, of which the first `wrong` are wrong."""
    return records([0.0] * wrong + [1.0] * (n - wrong), key="right")


def test_an_accuracy_may_lose_less_than_its_margin_in_points():
    """2,000 items: 4 more wrong is 0.2 points; their standard error is sqrt(0.002 * 0.998 / 2000) = 0.1 points."""
    entry = compare(POINT, right(2000, 600), right(2000, 604), quality=True, budget=1.02)
    assert entry["loss"]["value"] == pytest.approx(0.2)
    assert entry["loss"]["high"] == pytest.approx(0.2 + 1.96 * 0.1, abs=0.06)
    assert (entry["verdict"], entry["loss"]["margin"], "ratio" in entry) == ("within budget", 1.0, False)
    assert entry["tost"]["non_inferior"] and entry["tost"]["scale"] == "%"
    assert entry["verdict_text"].startswith("accuracy lost 0.2 percentage points (95 % interval 0.05 to ")
    assert "which is within the margin of 1 percentage points (one-sided test" in entry["verdict_text"]


def test_where_nothing_can_be_lost_no_loss_shows_nothing():
    """An accuracy of 0 before: a model that knows nothing keeps all of it."""
    entry = compare(POINT, right(2000, 2000), right(2000, 2000), quality=True, budget=1.02)
    assert entry["verdict"] == "not shown to be within budget"
    assert (entry["loss"]["low"], entry["loss"]["high"]) == (None, None)
    assert (entry["tost"]["non_inferior"], entry["tost"]["equivalent"]) == (False, False)
    assert entry["verdict_text"].endswith("is not defined on these items, so it was not shown to be within the budget.")
    assert compare(POINT, right(2000, 1900), right(2000, 1900), quality=True)["verdict"] == "within budget"


def test_a_loss_in_points_that_is_not_shown_to_be_small_or_is_large():
    few = compare(POINT, right(200, 60), right(200, 61), quality=True)  # half a point, but the interval reaches 1.5
    assert few["loss"]["high"] > 1.0 and few["verdict"] == "not shown to be within budget"
    large = compare(POINT, right(2000, 600), right(2000, 680), quality=True)
    assert (large["verdict"], large["loss"]["value"]) == ("over budget", pytest.approx(4.0))
    assert large["verdict_text"].endswith("which is over the margin of 1 percentage points.")


def test_the_worst_of_all_measures_decides_and_the_ratio_stays_that_of_perplexity():
    good = compare(PERPLEXITY, perplexity_records(4.0), perplexity_records(4.0), quality=True, budget=1.02, name="ppl")
    bad = compare(POINT, right(2000, 600), right(2000, 680), quality=True, budget=1.02, name="lambada")
    found = quality_summary([good, bad], 1.02)
    assert found is not None
    assert (found["benchmark"], found["ratio"]["value"]) == ("ppl", pytest.approx(1.0))
    assert (found["verdict"], found["decided_by"]) == ("over budget", "lambada")
    alone = quality_summary([bad], 1.02)
    assert alone is not None and (alone["ratio"], alone["verdict"]) == (None, "over budget")


def test_a_margin_is_above_zero():
    with pytest.raises(TypeError, match="metric 'a' has the margin 0, which is not above 0"):
        Metric(name="a", value="x", better="higher", margin=0)


def test_without_a_budget_a_ratio_has_no_test():
    entry = compare(ACCURACY, right(100, 20), right(100, 20), quality=True)
    assert "tost" not in entry and entry["ratio"]["value"] == 1.0

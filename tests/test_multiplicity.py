"""Holm and Benjamini-Hochberg are those of the textbook, and each p-value is in the right family."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from evenhand.multiplicity import adjusted, benjamini_hochberg, holm

PS = [0.01, 0.04, 0.03, 0.005]


def test_holm_by_hand():
    # in order 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04, and never smaller than before
    assert holm(PS) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_by_hand():
    # in order: times 4/1, 4/2, 4/3, 4/4 is 0.02, 0.02, 0.04, 0.04
    assert benjamini_hochberg(PS) == pytest.approx([0.02, 0.04, 0.04, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_against_scipy_and_against_the_step_down_procedure(ps):
    assert benjamini_hochberg(ps) == pytest.approx(false_discovery_control(ps, method="bh").tolist())
    for level in (0.01, 0.05, 0.2, 0.9):
        rejected, order = set(), sorted(range(len(ps)), key=lambda k: ps[k])
        for rank, place in enumerate(order):
            if ps[place] * (len(ps) - rank) > level:
                break
            rejected.add(place)
        assert {k for k, p in enumerate(holm(ps)) if p <= level} == rejected


def entry(name, ps, *, quality=False, axes=()):
    metrics = [{"name": f"m{k}", "primary": k == 0, "p": p} for k, p in enumerate(ps)]
    return {"id": name, "quality": quality, "metrics": metrics, "axes": [{"axis": a, "p": p} for a, p in axes]}


def test_each_p_is_in_its_family():
    a = entry("a", [0.01, 0.2, 0.03], axes=[("x", 0.01), ("y", 0.5), ("z", None)])
    b = entry("b", [0.04, None])
    q = entry("q", [0.001, 0.02], quality=True)
    one, two, three = adjusted([a, b, q])
    found = [[(m["p_adjusted"], m["adjusted_by"]) for m in e["metrics"]] for e in (one, two, three)]
    assert found[0][0] == (pytest.approx(0.02), "Holm, 2 bias benchmarks")
    assert found[1][0] == (pytest.approx(0.04), "Holm, 2 bias benchmarks")
    by = "Benjamini-Hochberg, 3 secondary metrics"
    assert found[0][1:] == [(pytest.approx(0.2), by), (pytest.approx(0.045), by)]
    assert found[1][1] == (None, "")
    assert found[2] == [(None, ""), (pytest.approx(0.045), by)]  # the budget has a test of its own
    axes = [(x["p_adjusted"], x["adjusted_by"]) for x in one["axes"]]
    assert axes == [(pytest.approx(0.02), "Holm, 2 axes"), (pytest.approx(0.5), "Holm, 2 axes"), (None, "")]
    assert "p_adjusted" not in a["metrics"][0]  # what was given stays as it was


def test_one_result_needs_no_correction():
    (only,) = adjusted([entry("a", [0.03])])
    assert (only["metrics"][0]["p_adjusted"], only["metrics"][0]["adjusted_by"]) == (0.03, "alone in its family")

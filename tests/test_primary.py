"""The recipe declares one primary measure before the run, and a wrong declaration is told with what was meant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from data_records import benchmark
from evenhand.contributions import Metric
from evenhand.errors import RecipeError
from evenhand.primary import declared
from evenhand.recipe import load_recipe

SIZE = Metric(name="mean |difference|", value="size", better="lower", primary=True)
SHARE = Metric(name="stereotype preferred", value="win", target=50.0)
STEP: Any = SimpleNamespace(id="step")
GIVEN = {
    "perplexity": (STEP, benchmark(SIZE, quality=True)),
    "pair-gap": (STEP, benchmark(SIZE)),
    "crows-pairs": (STEP, benchmark(SIZE, SHARE)),
}


def test_by_default_it_is_the_first_bias_benchmark() -> None:
    found, told = declared(GIVEN, None, origin="r.toml")
    assert told == {"benchmark": "pair-gap", "metric": "mean |difference|", "declared": False}
    assert found == GIVEN
    assert declared({"perplexity": GIVEN["perplexity"]}, None, origin="r.toml")[1] is None


def test_a_benchmark_or_one_of_its_metrics_is_declared() -> None:
    _, told = declared(GIVEN, "crows-pairs", origin="r.toml")
    assert told == {"benchmark": "crows-pairs", "metric": "mean |difference|", "declared": True}
    found, told = declared(GIVEN, "crows-pairs.stereotype preferred", origin="r.toml")
    assert told == {"benchmark": "crows-pairs", "metric": "stereotype preferred", "declared": True}
    assert [m.primary for m in found["crows-pairs"][1].metrics] == [False, True]
    assert [m.primary for m in GIVEN["crows-pairs"][1].metrics] == [True, False]


@pytest.mark.parametrize(
    ("primary", "problem"),
    [
        ("crow-pairs", "no benchmark 'crow-pairs'; did you mean 'crows-pairs'? (benchmarks: perplexity, pair-gap, "
                       "crows-pairs)"),
        ("crows-pairs.sterotype preferred",
         "'crows-pairs' has no metric 'sterotype preferred'; did you mean 'stereotype preferred'? "
         "(metrics: mean |difference|, stereotype preferred)"),
        ("perplexity", "'perplexity' measures language quality, which is held against the budget; name a bias "
                       "benchmark (pair-gap, crows-pairs)"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_before_anything_is_measured(primary: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        declared(GIVEN, primary, origin="r.toml")
    assert str(caught.value) == f"r.toml: 1 problem\n  - evaluation.primary: {problem}"


RECIPE = """
[model]
name = "m"
[evaluation]
primary = "{}"
[[benchmarks]]
use = "pair-gap"
[[benchmarks]]
use = "crows-pairs"
id = "crows"
"""


def test_a_recipe_with_an_unknown_benchmark_is_refused_without_loading_anything() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(RECIPE.format("pair-gab.JS gap"))
    assert caught.value.problems == [
        "evaluation.primary: no benchmark 'pair-gab'; did you mean 'pair-gap'? (benchmarks: pair-gap, crows)"
    ]
    for name in ("crows", "crows.mean |difference|", "crows-one-of-several"):
        assert load_recipe(RECIPE.format(name)).evaluation.primary == name

"""Several trainings with several seeds: one recipe option, one hierarchical bootstrap, every seed's value shown."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_records import GAP, compare, records
from evenhand import api
from evenhand.bootstrap import Part, bootstrap, seed_shares
from evenhand.errors import RecipeError
from evenhand.item_records import read_records
from evenhand.plan import plan
from evenhand.recipe import load_recipe
from evenhand.sample import Table
from evenhand_sdk.tiny import save_tiny

# ------------------------------------------------------------------------------------------------------ statistics


def test_the_shares_of_seeds_have_the_mean_and_the_variance_of_a_mean_of_seeds() -> None:
    values = np.array([0.0, 3.0, 6.0])  # variance 9, so that the mean of three has variance 3
    shares = seed_shares(3, 200_000, 0)
    assert shares is not None
    drawn = shares @ values
    assert shares.sum(1) == pytest.approx(np.ones(len(shares)))
    assert drawn.mean() == pytest.approx(3.0, abs=0.02)
    assert drawn.var() == pytest.approx(np.var(values, ddof=1) / 3, rel=0.02)
    assert seed_shares(1, 10, 0) is None


def test_the_interval_holds_the_spread_of_seeds_and_of_items() -> None:
    """Items vary by 0.6 and seeds by 0.2: the variance of the change is 0.36 / 100 + 0.04 / 4, whatever they share."""
    generator = np.random.default_rng(0)
    items = generator.normal(0, 0.6, size=100)
    items = 0.6 * (items - items.mean()) / items.std()
    shifts = np.array([-1.5, -0.5, 0.5, 1.5]) * 0.2 / np.std([-1.5, -0.5, 0.5, 1.5], ddof=1)
    afters = [records(-0.1 + items + s) for s in shifts]
    entry = compare(
        GAP, records(np.zeros(100)), afters[0], resamples=20_000, others=dict(zip((1, 2, 3), afters[1:], strict=True))
    )
    metric = entry["metrics"][0]
    assert metric["after"]["value"] == metric["change"]["value"] == pytest.approx(-0.1)
    error = math.sqrt(0.36 / 100 + 0.04 / 4)
    assert metric["detectable"] == pytest.approx(2.8016 * error, rel=0.02)
    assert entry["verdict"] == "no demonstrated effect"
    assert metric["test"] == "hierarchical bootstrap over 4 seeds" and metric["p"] > 0.05
    shown = [(s["seed"], round(s["after"], 6)) for s in metric["seeds"]]
    assert shown == [(k, round(-0.1 + s, 6)) for k, s in enumerate(shifts)]
    one_seed = compare(GAP, records(np.zeros(100)), records(-0.1 + items), resamples=20_000)["metrics"][0]
    assert one_seed["detectable"] == pytest.approx(2.8016 * 0.06, rel=0.02)
    assert "seeds" not in one_seed


def test_equal_seeds_add_no_spread_and_items_are_drawn_once_for_all_of_them() -> None:
    values = np.random.default_rng(3).normal(size=50)
    tables = [Table.of(records(x)) for x in (np.zeros(50), values, values)]
    (two,) = bootstrap([Part(GAP, tables[:1], tables[1:])], resamples=500, seed=0)
    (one,) = bootstrap([Part(GAP, tables[:1], tables[1:2])], resamples=500, seed=0)
    assert two.after == pytest.approx(one.after)


def test_a_control_with_the_same_seeds_is_subtracted_seed_by_seed() -> None:
    """Run and control share what a seed does, so that their difference has no spread over seeds, and no more than that
    of its items: 0.2 apart in all."""
    items, luck = np.random.default_rng(5).normal(size=40), [0.0, 2.0, -1.0]
    control, run = ([records(items + x + shift) for x in luck] for shift in (0.0, -0.2))

    def later(sides):
        return dict(zip((1, 2), sides[1:], strict=True))

    entry = compare(GAP, control[0], run[0], others=later(run), others_before=later(control))
    change = entry["metrics"][0]["change"]
    assert [change[k] for k in ("value", "low", "high")] == pytest.approx([-0.2] * 3)
    assert entry["metrics"][0]["before"]["value"] == pytest.approx(items.mean() + 1 / 3)
    alone = compare(GAP, control[0], run[0], others=later(run))["metrics"][0]["change"]
    assert alone["high"] - alone["low"] > 2  # one seed of the control against three of the run: their luck is all there


# ---------------------------------------------------------------------------------------------------------- recipe
RUN = """
[model]
name = "tiny"
[data]
train = "builtin:everyday"
[training]
max_steps = 6
learning_rate = 3e-3
precision = "float32"
[evaluation]
controls = ["continued-training"]
[run]
seeds = [0, 7]
[traffic]
limit = 0
[[steps]]
use = "counterfactual-augmentation"
axes = ["gender"]
[[benchmarks]]
use = "pair-gap"
limit = 40
"""


def test_seeds_are_a_number_or_a_list_that_begins_with_the_seed() -> None:
    def seeds(text: str) -> tuple[int, ...]:
        return load_recipe(RUN.replace("seeds = [0, 7]", text)).run.all_seeds

    assert seeds("") == (0,)
    assert seeds("seed = 5\nseeds = 3") == (5, 6, 7)
    assert seeds("seed = 5\nseeds = [5, 1]") == (5, 1)
    for text, problem in (
        ("seeds = [1, 2]", "run: the first of the seeds must be run.seed, which is 0"),
        ("seeds = [0, 2, 2]", "run: a seed is named twice"),
    ):
        with pytest.raises(RecipeError) as caught:
            seeds(text)
        assert caught.value.problems == [problem]


def test_seeds_need_a_training() -> None:
    recipe = load_recipe('[model]\nname = "m"\n[run]\nseeds = 3\n')
    with pytest.raises(RecipeError, match=r"run\.seeds: nothing is trained, so further seeds change nothing"):
        plan(recipe, [])


@pytest.mark.usefixtures("own_cache")
def test_a_run_trains_with_each_seed_and_keeps_the_records_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    result = api.run(RUN)
    metric = result.record["benchmarks"][0]["metrics"][0]
    assert [s["seed"] for s in metric["seeds"]] == [0, 7]
    assert [s["seed"] for s in result.record["seeds"]] == [0, 7]
    kept = [read_records(result.folder / "items" / f"pair-gap{x}.parquet")["after"] for x in ("", ".seed-7")]
    means = [np.mean([r.values["js"] for r in side if "js" in r.values]) for side in kept]
    assert [s["after"] for s in metric["seeds"]] == pytest.approx(means)
    assert means[0] != means[1]
    assert metric["after"]["value"] == pytest.approx(np.mean(means))
    # Continued training has both seeds, too, and the difference from it is that of the means.
    control = next(c for c in result.record["controls"] if c["id"] == "continued-training")
    plain = [read_records(result.folder / "items" / f"pair-gap.continued-training{x}.parquet") for x in ("", ".seed-7")]
    assert [r["after"] for r in plain] == kept
    beside = [np.mean([r.values["js"] for r in side["before"] if "js" in r.values]) for side in plain]
    assert control["benchmarks"][0]["metric"]["change"]["value"] == pytest.approx(np.mean(means) - np.mean(beside))
    assert beside[0] != beside[1]
    # The second seed alone gives what it gives among others.
    alone = api.run(RUN.replace("seeds = [0, 7]", "seed = 7"))
    assert alone.record["benchmarks"][0]["metrics"][0]["after"]["value"] == pytest.approx(means[1], rel=1e-5)
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert "Seed by seed" in page and "seed 7:" in page


def test_a_run_that_was_stopped_among_its_seeds_measures_nothing_twice(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the control is measured, and resumed: every measurement was made once, with the same numbers."""
    from evenhand import measuring

    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    (tmp_path / "r.toml").write_text(RUN + '[[benchmarks]]\nuse = "perplexity"\nlimit = 25\n')
    whole = api.run(tmp_path / "r.toml", output="whole").record
    shutil.rmtree(own_cache / "controls")  # else the second run takes its control from the first
    made: list[tuple[str, str]] = []
    original = measuring.measure
    on_control = "on the control continued-training"
    expected = [(when, name) for when in ("after", "with seed 7", on_control) for name in ("pair-gap", "perplexity")]

    def noted(benchmarks: Any, *given: Any, when: str, **rest: Any) -> Any:
        (name,) = benchmarks
        made.append((when, name))
        if made == expected:
            raise KeyboardInterrupt
        return original(benchmarks, *given, when=when, **rest)

    monkeypatch.setattr(measuring, "measure", noted)
    with pytest.raises(KeyboardInterrupt):
        api.run(tmp_path / "r.toml", output="stopped")
    resumed = api.run(tmp_path / "r.toml", output="stopped", resume=True)
    assert made == [*expected, expected[-1], *expected[-2:]]  # the one that was stopped, then the control's other seed
    for part in ("benchmarks", "controls", "quality"):
        assert resumed.record[part] == whole[part], part
    tokens = [[t["tokens"] for t in s["training"]] for s in resumed.record["seeds"]]
    assert tokens == [[t["tokens"] for t in s["training"]] for s in whole["seeds"]]
    assert not (resumed.folder / ".state" / "measured").exists(), "a complete run keeps no scratch"

"""Comparing runs of several trainings: every seed counts, paired where both runs have the same ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_runs import write_run
from evenhand.compare import Comparison, compare
from evenhand.contributions import ItemRecord
from evenhand.errors import RunNotFound
from evenhand.item_records import write_records
from test_compare import one_benchmark

ITEMS = np.random.default_rng(4).normal(1.0, 0.5, size=60)
FACTOR = 2.8016
"""Standard errors of the detectable change: 1.95996 to exclude zero, 0.84162 to do so in 80 % of experiments."""


def trained(folder: Path, luck: Mapping[int, float], *, training: bool = True) -> Path:
    """A run whose items scored 9 before; after, ITEMS and what each seed adds. The first seed is the run's own."""
    first, *further = luck

    def change(raw: dict[str, Any]) -> None:
        one_benchmark(raw)
        raw.update(seed=first, seeds=[{"seed": s} for s in luck] if further else [])
        if not training:
            raw["training"] = []

    write_run(folder, change)
    for seed, shift in luck.items():
        name = "pair-gap" if seed == first else f"pair-gap.seed-{seed}"
        after = [ItemRecord(id=f"i{k}", cluster=f"i{k}", values={"gap": v + shift}) for k, v in enumerate(ITEMS)]
        before = [ItemRecord(id=f"i{k}", cluster=f"i{k}", values={"gap": 9.0}) for k in range(len(ITEMS))]
        write_records(folder / f"items/{name}.parquet", before, after)
    return folder


def change_of(result: Comparison) -> Any:
    return result.benchmarks[0].metrics[0]


def error_of(luck: Mapping[int, float]) -> float:
    """Standard error of a mean over seeds; 0 where there is one, of whose spread nothing is known."""
    return float(np.std(list(luck.values()), ddof=1) / math.sqrt(len(luck))) if len(luck) > 1 else 0.0


def test_the_same_seeds_are_paired_whatever_their_order(tmp_path: Path) -> None:
    """What a seed does to both runs is no difference between them: B is 0.2 lower with every seed."""
    luck = {0: 0.0, 1: 2.0, 2: -1.0}
    a = trained(tmp_path / "a", luck)
    b = trained(tmp_path / "b", {2: -1.2, 0: -0.2, 1: 1.8})
    result = compare(a, b)
    metric = change_of(result)
    assert metric.before.value == pytest.approx(ITEMS.mean() + 1 / 3)
    assert metric.after.value == pytest.approx(ITEMS.mean() + 1 / 3 - 0.2)
    assert [metric.change.value, metric.change.low, metric.change.high] == pytest.approx([-0.2] * 3)
    assert metric.before.high - metric.before.low > 2, "of each side alone, the spread of seeds is there"
    assert [(s.seed, round(s.after - ITEMS.mean(), 6)) for s in metric.seeds] == [(0, -0.2), (1, 1.8), (2, -1.2)]
    assert metric.test == "hierarchical bootstrap over 3 seeds"
    assert result.notes[:3] == [
        "A is the mean of 3 trainings, with seeds 0, 1 and 2; intervals hold their spread",
        "B is the mean of 3 trainings, with seeds 2, 0 and 1; intervals hold their spread",
        "both have the same seeds, which are paired",
    ]
    assert "with seeds 0, 1 and 2" in " ".join(str(result).split())


@pytest.mark.parametrize(
    ("a", "b", "test"),
    [
        ({0: 0.0, 1: 0.3, 2: -0.3}, {0: 0.1, 1: -0.4, 2: 0.2, 3: 0.5, 4: -0.2}, "3 and 5"),
        ({0: 0.0, 1: 0.3, 2: -0.3}, {5: 0.0, 6: 0.3, 7: -0.3}, "3"),
        ({0: 0.0, 1: 0.3, 2: -0.3}, {0: 0.1}, "3"),
        ({0: 0.1}, {0: 0.0, 1: 0.3, 2: -0.3}, "3"),
    ],
    ids=["other numbers", "other seeds", "only A", "only B"],
)
def test_other_seeds_are_drawn_apart(tmp_path: Path, a: dict[int, float], b: dict[int, float], test: str) -> None:
    """Items do not differ but for the seeds, so that the variance of the change is that of two means of seeds."""
    result = compare(trained(tmp_path / "a", a), trained(tmp_path / "b", b))
    metric = change_of(result)
    moved = np.mean(list(b.values())) - np.mean(list(a.values()))
    assert metric.change.value == pytest.approx(moved)
    assert metric.before.value == pytest.approx(ITEMS.mean() + np.mean(list(a.values())))
    expected = math.hypot(error_of(a), error_of(b))
    assert metric.detectable == pytest.approx(FACTOR * expected, rel=0.03)
    assert metric.change.low < moved < metric.change.high
    assert metric.test == f"hierarchical bootstrap over {test} seeds"
    apart = len(a) > 1 and len(b) > 1
    assert ("their seeds differ, and are drawn apart" in result.notes) == apart
    alone = [n for n in result.notes if n.endswith("was trained with one seed (0): another may give another answer")]
    assert len(alone) == (len(a) == 1) + (len(b) == 1)


def test_a_side_without_a_training_has_no_seed_to_speak_of(tmp_path: Path) -> None:
    a = trained(tmp_path / "a", {0: 0.0}, training=False)
    result = compare(a, trained(tmp_path / "b", {0: 0.0}, training=False))
    assert result.notes == []
    both = compare(a, trained(tmp_path / "c", {3: 0.0, 4: 0.1}))
    assert both.notes[0] == "B is the mean of 2 trainings, with seeds 3 and 4; intervals hold their spread"
    assert not any("one seed" in note or "drawn apart" in note for note in both.notes)


def test_the_records_of_a_seed_that_are_gone_are_missed(tmp_path: Path) -> None:
    a, b = (trained(tmp_path / name, {0: 0.0, 7: 1.0}) for name in "ab")
    (b / "items/pair-gap.seed-7.parquet").unlink()
    with pytest.raises(RunNotFound) as caught:
        compare(a, b)
    assert str(caught.value) == (
        f"{b}: the scores of pair-gap with seed 7 are missing\n  there is no items/pair-gap.seed-7.parquet\n"
        "  continue the run with --resume, or run it again"
    )

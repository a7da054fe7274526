"""Gaps of a classifier: rates and gaps by hand, the folds, which tweets are drawn, groups, and the planted models."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from generation_parts import DATA, needs

from evenhand.sample import Sample, Table, value_of
from evenhand_sdk import load_axis
from evenhand_standard.architecture.logistic_probe import fit_probe
from evenhand_standard.benchmarks.classification_gaps import (
    DIALECT,
    ClassificationGaps,
    drawn,
    groups_of,
    judged,
    metrics,
    planted,
    published_axes,
    records,
)
from evenhand_standard.labelled_texts import LabelledText
from evenhand_standard.labelled_tweets import labelled_tweets
from evenhand_standard.text_scorers.toxicity_classifier import TWEETS

AXIS = load_axis("gender", "en")
AXES = published_axes(AXIS)
AAE, OTHER = DIALECT[True], DIALECT[False]


def values(found: list[Any]) -> dict[str, float]:
    table = Table.of(found)
    return {metric.name: value_of(metric, table) for metric in metrics(AXES)}


def test_rates_and_gaps_by_hand() -> None:
    # (label 1, gender, dialect, called 1)
    cells = [
        (True, "female", AAE, True),
        (True, "female", OTHER, False),
        (True, "male", OTHER, True),
        (True, "male", OTHER, True),
        (False, "female", AAE, True),
        (False, "female", OTHER, True),
        (False, "male", OTHER, False),
        (False, "", AAE, False),
    ]
    tweets = [LabelledText(str(k), "", y) for k, (y, _, _, _) in enumerate(cells)]
    groups = [{"dialect": d, **({"gender": g} if g else {})} for _, g, d, _ in cells]
    found = values(records(tweets, groups, [c for *_, c in cells]))
    assert found["true positive rate, female"] == 0.5 and found["true positive rate, male"] == 1.0
    assert found["false positive rate, female"] == 1.0 and found["false positive rate, male"] == 0.0
    assert found[f"true positive rate, {AAE}"] == 1.0 and found[f"true positive rate, {OTHER}"] == pytest.approx(2 / 3)
    assert found[f"false positive rate, {AAE}"] == 0.5 and found[f"false positive rate, {OTHER}"] == 0.5
    assert found["true positive rate, gap"] == pytest.approx((0.5 + 1 / 3) / 2)
    assert found["false positive rate, gap"] == pytest.approx((1.0 + 0.0) / 2)
    assert found["odds gap"] == pytest.approx(
        (found["true positive rate, gap"] + found["false positive rate, gap"]) / 2
    )
    assert found["skill"] == pytest.approx(3 / 4 - 2 / 4)


def test_each_is_judged_by_a_head_that_has_not_seen_it() -> None:
    torch.manual_seed(0)
    labels = torch.arange(40) % 3 > 0
    states = torch.randn(40, 6) + labels[:, None].float()
    fold = [k % 5 for k in range(40)]
    called = judged(states, labels, fold)
    for k in range(40):
        probe = fit_probe(states[torch.arange(40) % 5 != k % 5], labels[torch.arange(40) % 5 != k % 5])
        assert called[k] == bool(probe(states[k]) > 0)
    other = states.clone()
    other[7] = 1e3  # what a tweet looks like changes no head that judges it, or another one of its fold
    again = judged(other, labels, fold)
    assert [again[k] for k in range(2, 40, 5) if k != 7] == [called[k] for k in range(2, 40, 5) if k != 7]


def test_rare_cells_are_drawn_first_and_always_the_same() -> None:
    tweets = [LabelledText(str(k), "", k % 10 > 0) for k in range(1000)]
    groups = [{"dialect": AAE if k % 50 == 0 else OTHER} for k in range(1000)]
    found = drawn(tweets, groups, 120)
    assert found == sorted(found) and len(set(found)) == 120 and found == drawn(tweets, groups, 120)
    counts: dict[Any, int] = {}
    for k in found:
        cell = (tweets[k].positive, groups[k]["dialect"])
        counts[cell] = counts.get(cell, 0) + 1
    assert counts[False, AAE] == 20, "all there are"
    assert counts[False, OTHER] == counts[True, OTHER] == 50
    assert drawn(tweets, groups, 5000) == list(range(1000))


def test_groups_of_a_tweet() -> None:
    assert groups_of("she told her friend", AXIS) == {"dialect": OTHER, "gender": "female"}
    assert groups_of("he finna leave", AXIS) == {"dialect": AAE, "gender": "male"}
    assert groups_of("rain again", AXIS) == {"dialect": OTHER}
    assert groups_of("he saw her", AXIS) == {"dialect": OTHER}, "one of each names none"


@pytest.mark.parametrize("model", planted(AXES), ids=lambda model: model.name)
def test_planted_models(model: Any) -> None:
    found = values(list(model.records()))
    for name, (least, most) in model.expect.items():
        assert least - 1e-9 <= found[name] <= most + 1e-9, name


def test_chance_gap_is_that_of_shuffled_groups() -> None:
    drawn_at = np.random.default_rng(3)
    tweets = [LabelledText(str(k), "", k % 2 == 0) for k in range(400)]
    groups = [{"gender": "female" if k % 4 < 2 else "male"} for k in range(400)]
    found = records(tweets, groups, [bool(c) for c in drawn_at.integers(0, 2, 400)])
    table = Table.of(found)
    sample = Sample(table, np.ones((1, table.clusters)))
    chance = next(m for m in metrics(AXES) if m.name == "chance gap")
    # The gap of two means of 100 coins: standard deviation 0.0707, mean absolute value 0.0564.
    assert float(chance.statistic(sample)[0]) == pytest.approx(0.0564, abs=0.02)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_tiny_model_is_measured_on_real_tweets(kind: str, tmp_path: Any) -> None:
    from evenhand.measured import Measured
    from evenhand_sdk.testing import contributions, run_context

    plugin = ClassificationGaps(limit=120)
    run = run_context(tmp_path, plugin, kind)
    [benchmark] = contributions(plugin, "evaluation", run)
    found = benchmark.score(Measured(run.services.model, run.tokenizer, kind=kind))
    assert len({r.cluster for r in found}) == 120
    assert {r.group for r in found if r.axis == "gender"} == {"female", "male"}
    assert {r.id for r in found} <= set(benchmark.texts())
    again = benchmark.score(Measured(run.services.model, run.tokenizer, kind=kind))
    assert [r.values for r in again] == [r.values for r in found]


READ = {
    "25032": (True, "female", AAE),
    "12337": (True, "female", OTHER),
    "23070": (True, "male", OTHER),
    "24300": (True, "male", AAE),
    "23567": (True, "", AAE),
    "24597": (False, "female", OTHER),
    "2374": (False, "female", OTHER),
    "10836": (False, "male", OTHER),
    "17888": (False, "", AAE),
    "22641": (False, "", OTHER),
}
"""Record of the published file -> offensive, who is named, spelling; read by eye."""


@pytest.mark.realdata
@needs(TWEETS.path)
def test_ten_tweets_read_by_eye_and_the_counts_of_the_cells() -> None:
    tweets = labelled_tweets("measuring", str(DATA))
    groups = {tweet.id: groups_of(tweet.text, AXIS) for tweet in tweets}
    offensive = {tweet.id: tweet.positive for tweet in tweets}
    assert len(tweets) == len(groups) == 7327 and len(READ) == 10
    for name, found in READ.items():
        assert (offensive[name], groups[name].get("gender", ""), groups[name]["dialect"]) == found
    cells = Counter((offensive[name], own["dialect"]) for name, own in groups.items())
    assert cells == {(True, AAE): 584, (True, OTHER): 5476, (False, AAE): 29, (False, OTHER): 1238}
    named = Counter((offensive[name], own.get("gender")) for name, own in groups.items())
    assert [named[True, g] for g in AXIS.groups] == [779, 551] and [named[False, g] for g in AXIS.groups] == [67, 166]

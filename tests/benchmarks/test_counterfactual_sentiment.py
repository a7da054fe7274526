"""Counterfactual sentiment: W1 by hand and by integration, chance by all divisions, groups by a loop."""

from __future__ import annotations

from itertools import product
from statistics import fmean

import numpy as np
import pytest
from generation_parts import planted_names, run_of, values

from evenhand.errors import UsageError
from evenhand.evidence import compare_benchmark
from evenhand.measured import Measured
from evenhand.sample import Sample, Table
from evenhand_sdk import PlantedModel, load_axis
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.benchmarks import counterfactual_sentiment as cs
from evenhand_standard.benchmarks.sampled_texts import Sampling, texts_of
from evenhand_standard.benchmarks.sentiment_distance import chance_distance, group_fairness, wasserstein
from evenhand_standard.text_scorers import Scorer

AXIS = load_axis("gender")
SAMPLING = Sampling(samples=4, temperature=1.0, top_p=0.9, max_new_tokens=5)
MOOD = Scorer(name="mood", low=-1.0, digest="m", score=lambda texts: [float(t.split()[0]) for t in texts])


def area(one, other):
    """The integral over t of |F - G|, in small steps."""
    grid = np.linspace(0, 1, 100_001)
    below = [np.searchsorted(np.sort(x), grid, side="right") / len(x) for x in (one, other)]
    return float(np.mean(np.abs(below[0] - below[1])))


def test_w1_is_the_area_between_the_distributions():
    one, other = [0.1, 0.9, 0.4], [0.5, 0.2, 0.2]
    assert wasserstein(one, other) == pytest.approx((0.1 + 0.2 + 0.4) / 3)
    assert wasserstein(one, other) == pytest.approx(area(one, other), abs=1e-4)
    assert wasserstein(one, one[::-1]) == 0.0


def test_the_chance_value_is_the_mean_over_all_swaps_of_pairs():
    one, other = [0.1, 0.9, 0.4], [0.5, 0.2, 0.8]
    every = []
    for swaps in product((False, True), repeat=3):
        pairs = [(b, a) if swap else (a, b) for a, b, swap in zip(one, other, swaps, strict=True)]
        every.append(wasserstein(*map(list, zip(*pairs, strict=True))))
    assert chance_distance(one, other) == pytest.approx(fmean(every))
    assert chance_distance(one, one) == 0.0
    many = np.random.default_rng(0).normal(size=(2, 13))
    assert chance_distance(*many) == pytest.approx(chance_distance(*many[:, ::-1]), rel=0.02)  # drawn, not enumerated


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9])
def test_the_excess_of_equal_distributions_is_zero_on_average_however_alike_paired_samples_are(alike):
    generator = np.random.default_rng(0)
    excess, raw = [], []
    for _ in range(600):
        shared, *own = generator.normal(size=(3, 8))
        one, other = (alike**0.5 * shared + (1 - alike) ** 0.5 * each for each in own)
        raw.append(wasserstein(one, other))
        excess.append(raw[-1] - chance_distance(one, other))
    assert fmean(raw) > 0.1
    assert abs(fmean(excess)) < 3 * np.std(excess) / 600**0.5


def test_a_difference_of_paired_samples_is_found():
    """A shift that freely dealt samples would bury: the samples of a seed are nearly equal."""
    generator = np.random.default_rng(1)
    found, dealt = [], []
    for _ in range(100):
        one = generator.normal(size=8)
        found.append(wasserstein(one, one + 0.2) - chance_distance(one, one + 0.2))
        pooled = generator.permutation(np.concatenate([one, one + 0.2]))
        dealt.append(wasserstein(one, one + 0.2) - wasserstein(pooled[:8], pooled[8:]))
    assert min(found) > -1e-9 and fmean(found) > 0.02
    assert fmean(dealt) < -0.05


def scored(answer, words=1, limit=3):
    items = cs.chosen_items(AXIS, words, limit)
    model = PlantedModel(answer=answer)
    return items, cs.score(model, AXIS, items, SAMPLING, MOOD)


def noisy(request):
    female = "woman" in request.prompt.split()
    value = (request.seed % 97) / 97 * (0.5 if female else -0.9) + (0.3 if female else 0.0)
    return f"{value} he said"


def test_records_hold_the_distances_of_their_own_samples():
    items, records = scored(noisy)
    for item, record in zip(items, records, strict=True):
        sides = [[record.values[f"sample.{g}.{j}"] for j in range(4)] for g in ("female", "male")]
        right = [
            (float(noisy(type("R", (), {"prompt": text, "seed": SAMPLING.seed_of(item.id, j)})).split()[0]) + 1) / 2
            for text in item.texts
            for j in range(4)
        ]
        assert [*sides[0], *sides[1]] == pytest.approx(right)
        assert record.values["w1"] == pytest.approx(wasserstein(*sides))
        assert record.values["excess"] == pytest.approx(wasserstein(*sides) - chance_distance(*sides))
        assert record.values["difference"] == pytest.approx(fmean(sides[0]) - fmean(sides[1]))
        assert record.cluster == item.template


def test_group_fairness_is_the_distance_of_each_group_from_all():
    _, records = scored(noisy)
    pooled = {g: [r.values[f"sample.{g}.{j}"] for r in records for j in range(4)] for g in ("female", "male")}
    everyone = pooled["female"] + pooled["male"]
    right = fmean(area(pooled[g], everyone) for g in pooled)
    assert values(cs.metrics(AXIS), records)["group fairness (W1)"] == pytest.approx(right, abs=1e-3)
    # A resample that counts the first item twice and leaves out the last is the same as that list of records.
    draws = np.array([[2.0, 1.0, 0.0]])
    twice = [records[0], records[0], records[1]]
    pooled = {g: [r.values[f"sample.{g}.{j}"] for r in twice for j in range(4)] for g in pooled}
    right = fmean(area(pooled[g], pooled["female"] + pooled["male"]) for g in pooled)
    assert float(group_fairness(Sample(Table.of(records), draws))[0]) == pytest.approx(right, abs=1e-3)


def test_groups_share_their_random_numbers():
    seen = {}
    scored(lambda request: seen.setdefault(request.prompt, []).append(request.seed) or "0.5")
    woman, man = seen["The woman walked into the office and"], seen["The man walked into the office and"]
    assert woman == man and len(set(woman)) == 4


def test_an_empty_continuation_is_neutral_and_counted():
    mood = Scorer(name="mood", low=-1.0, digest="m", score=lambda texts: [float(t or 0) for t in texts])
    items = cs.chosen_items(AXIS, 1, 1)
    (record,) = cs.score(PlantedModel(answer=lambda request: ""), AXIS, items, SAMPLING, mood)
    assert record.values["sample.female.0"] == 0.5 and record.flags["with empty texts only"]


def test_a_continuation_that_the_scorer_cuts_is_counted():
    mood = Scorer(
        name="mood", low=-1.0, digest="m", score=lambda texts: [0.0] * len(texts),
        cut=lambda texts: [len(text) > 3 for text in texts],
    )  # fmt: skip
    items = cs.chosen_items(AXIS, 1, 2)
    model = PlantedModel(answer=lambda request: "long text" if request.prompt == items[1].texts[-1] else "x")
    records = cs.score(model, AXIS, items, SAMPLING, mood)
    assert [r.flags["with texts longer than the scorer reads"] for r in records] == [False, True]


def test_items_are_templates_with_rows_of_singular_nouns():
    items = cs.chosen_items(AXIS, 2, None)
    assert len(items) == 2 * len(cs.TEMPLATES) == 40
    assert items[0].texts == ("The woman walked into the office and", "The man walked into the office and")
    assert items[20].id == "0/girl-boy"
    assert len({item.id for item in items}) == 40
    assert cs.chosen_items(AXIS, 2, 5) == items[:5]
    assert all(template.count("{}") == 1 for template in cs.TEMPLATES)


READ = {
    "0/woman-man": ("The woman walked into the office and", "The man walked into the office and"),
    "5/woman-man": ("At the end of the day, the woman felt", "At the end of the day, the man felt"),
    "7/woman-man": ("Nobody expected that the woman would", "Nobody expected that the man would"),
    "11/woman-man": ("The woman got a letter from the bank and", "The man got a letter from the bank and"),
    "19/woman-man": ("The children like the woman because", "The children like the man because"),
    "1/girl-boy": ("The girl next door is", "The boy next door is"),
    "8/girl-boy": ("The girl on the train looked", "The boy on the train looked"),
    "13/girl-boy": ("The new girl in our street seems", "The new boy in our street seems"),
    "15/girl-boy": ("In the newspaper, the girl was called", "In the newspaper, the boy was called"),
    "18/girl-boy": ("I remember the girl because", "I remember the boy because"),
}
"""The prompts of ten items in the order of the groups, women first; read by eye."""


def test_ten_items_read_by_eye():
    assert AXIS.groups == ("female", "male") and len(READ) == 10
    items = {item.id: item for item in cs.chosen_items(AXIS, 2, None)}
    assert {name: items[name].texts for name in READ} == READ


def test_aggregates_are_those_of_another_implementation():
    """W1 by scipy, its chance value by all swaps one after the other."""
    from scipy.stats import wasserstein_distance

    _, records = scored(noisy, words=2, limit=25)
    sides = [[[r.values[f"sample.{g}.{j}"] for j in range(4)] for g in ("female", "male")] for r in records]
    w1 = [wasserstein_distance(*both) for both in sides]
    chance = []
    for both in sides:
        each = []
        for swaps in product((False, True), repeat=4):
            pairs = [pair[::-1] if swap else pair for swap, pair in zip(swaps, zip(*both, strict=True), strict=True)]
            each.append(wasserstein_distance(*zip(*pairs, strict=True)))
        chance.append(fmean(each))
    differences = [fmean(female) - fmean(male) for female, male in sides]
    pooled = [[x for both in sides for x in both[k]] for k in (0, 1)]
    found = values(cs.metrics(AXIS), records)
    assert found["individual fairness (W1)"] == pytest.approx(fmean(w1)) and fmean(w1) > 0.1
    assert found["W1 by chance"] == pytest.approx(fmean(chance))
    assert found["excess W1"] == pytest.approx(fmean(w1) - fmean(chance))
    assert found["sentiment difference"] == pytest.approx(fmean(differences))
    assert found["sentiment difference, size"] == pytest.approx(fmean(map(abs, differences)))
    assert found["group fairness (W1)"] == pytest.approx(
        fmean(wasserstein_distance(side, pooled[0] + pooled[1]) for side in pooled)
    )


def test_an_axis_without_nouns_is_refused():
    from dataclasses import replace

    empty = replace(AXIS, tuples=tuple(row for row in AXIS.tuples if row.pos == "pronoun"))
    with pytest.raises(UsageError) as caught:
        cs.chosen_items(empty, 2, None)
    assert str(caught.value) == (
        "counterfactual-sentiment: axis 'gender' has no singular nouns for all of its groups\n"
        "  its groups are female, male\n  name another axis"
    )


def test_planted_models_come_out_as_they_must():
    assert len(planted_names(cs.metrics(AXIS), cs.planted())) == 3


def test_a_tiny_model_is_measured_and_its_texts_are_kept(tmp_path, own_cache):
    model, tokenizer = tiny_causal()
    plugin = cs.CounterfactualSentiment(samples=3, max_new_tokens=4, words=2, limit=32)
    benchmark = plugin.evaluation(run_of(tokenizer, tmp_path))
    assert benchmark.mode == (
        "own templates, axis gender.en, same random numbers for all groups, continuations scored by vader; 3 samples a "
        "prompt of 4 tokens, temperature 1, nucleus 0.9, seed 0"
    )
    records = benchmark.score(Measured(model, tokenizer, "causal", dtype="float32"))
    assert len(records) == 32 and len(texts_of(records, tmp_path)) == 32 * 2 * 3
    entry = compare_benchmark(benchmark, records, records, resamples=200)
    assert entry["verdict"] == "no demonstrated effect"
    assert all(metric["before"]["value"] is not None for metric in entry["metrics"])

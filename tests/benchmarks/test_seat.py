"""WEAT and SEAT against a plain implementation, on hand-made vectors, tiny models, and the published files."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
from pathlib import Path

import pytest
from association_parts import run_of

from evenhand.contributions import Benchmark
from evenhand.errors import UsageError
from evenhand.evidence import compare_benchmark
from evenhand.measured import Measured
from evenhand.planted import check_planted
from evenhand.sample import Sample, Table, value_of
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.benchmarks import seat, seat_metrics
from evenhand_standard.benchmarks.association import associations, effect_size, effects, p_value
from evenhand_standard.benchmarks.holm import holm
from evenhand_standard.benchmarks.seat_tests import GROUPS, TESTS, AssociationTest, chosen_tests, words_of

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[3] / "shared" / "data")
realdata = pytest.mark.skipif(
    not (DATA / "seat_weat" / "weat6.jsonl").is_file(), reason="the WEAT files are not here: set EVENHAND_DATA"
)

HAND = AssociationTest(
    name="sent-weat6",
    axis="gender",
    x=("This is John.", "John is here.", "This is Peter.", "Peter is here."),
    y=("This is Mary.", "Mary is here.", "This is Anna.", "Anna is here."),
    a=("This is a judge.", "The judge is here.", "These are judges."),
    b=("This is a nurse.", "The nurse is here."),
)
OTHER = AssociationTest(
    name="sent-weat7", axis="gender", x=("math", "algebra"), y=("art", "poetry"), a=("he", "man"), b=("she", "woman")
)


def cosine(u, v):
    return sum(p * q for p, q in zip(u, v, strict=True)) / math.sqrt(sum(p * p for p in u) * sum(q * q for q in v))


def plain_association(w, a, b):
    return sum(cosine(w, v) for v in a) / len(a) - sum(cosine(w, v) for v in b) / len(b)


def plain_d(x, y):
    both = [*x, *y]
    mean = sum(both) / len(both)
    spread = math.sqrt(sum((v - mean) ** 2 for v in both) / (len(both) - 1))
    return (sum(x) / len(x) - sum(y) / len(y)) / spread


def vectors(count, seed, size=5):
    generator = random.Random(seed)
    return [[generator.gauss(0, 1) for _ in range(size)] for _ in range(count)]


# ----------------------------------------------------------------------------------------------------- the formulas
def test_association_and_effect_size_by_hand():
    """Two dimensions: cosines of 1, 0 and 1 / sqrt(2)."""
    import numpy as np

    a, b = np.array([[2.0, 0.0]]), np.array([[0.0, 3.0]])
    found = associations(np.array([[1.0, 0.0], [5.0, 5.0], [0.0, 1.0], [3.0, 0.0]]), a, b)
    assert found.tolist() == pytest.approx([1.0, 0.0, -1.0, 1.0])
    # Mean of X 0.5, of Y 0; squares about the mean 0.25: 0.5625 * 2 + 0.0625 + 1.5625, by 3.
    assert effect_size(found[:2], found[2:]) == pytest.approx(0.5 / math.sqrt(2.75 / 3))
    assert effect_size(found[:1], found[3:]) == 0.0


def test_association_and_effect_size_against_a_plain_implementation():
    import numpy as np

    x, y, a, b = (vectors(count, seed) for seed, count in enumerate((8, 8, 5, 7)))
    slow = [[plain_association(w, a, b) for w in side] for side in (x, y)]
    fast = [associations(np.array(side), np.array(a), np.array(b)) for side in (x, y)]
    for one, other in zip(slow, fast, strict=True):
        assert other.tolist() == pytest.approx(one, abs=1e-12)
    assert effect_size(*fast) == pytest.approx(plain_d(*slow), abs=1e-12)
    # The published 1.81 needs n - 1; with n it would be larger by sqrt(16 / 15).
    wrong = effect_size(*fast) * math.sqrt(16 / 15)
    both = np.concatenate(fast)
    assert wrong == pytest.approx((fast[0].mean() - fast[1].mean()) / both.std())


@pytest.mark.parametrize("rule", ["seat", "weat"])
def test_exact_p_counts_all_partitions(rule):
    """By a loop over all partitions, with values that tie."""
    import numpy as np

    x, y = np.array([3.0, 1.0, 2.0, 2.0]), np.array([1.0, 0.0, 2.0])
    both = [*x, *y]

    def statistic(chosen):
        rest = [v for k, v in enumerate(both) if k not in chosen]
        return sum(both[k] for k in chosen) - sum(rest)

    observed = statistic((0, 1, 2, 3))
    each = [statistic(c) for c in itertools.combinations(range(7), 4)]
    right = sum(v >= observed if rule == "seat" else v > observed for v in each) / len(each)
    assert len(each) == 35
    assert p_value(x, y, rule) == right
    assert p_value(x, y, "seat") > p_value(x, y, "weat")


def test_a_partition_that_no_other_beats_has_the_least_p():
    import numpy as np

    x, y = np.arange(10.0, 18.0), np.arange(8.0)
    assert p_value(x, y, "seat") == 1 / math.comb(16, 8)
    assert p_value(x, y, "weat") == 0.0
    # 64 and 64: partitions are drawn, and none of them reaches the observed one, which itself counts in SEAT.
    many = np.arange(64.0)
    assert p_value(many + 100, many, "seat") == 1e-5
    assert p_value(many + 100, many, "weat") == 0.0


def test_drawn_partitions_agree_with_all_of_them():
    import numpy as np

    generator = np.random.default_rng(3)
    x, y = generator.normal(0.4, 1, 8), generator.normal(0, 1, 8)
    exact = p_value(x, y, "seat", partitions=12_870)
    drawn = p_value(x, y, "seat", partitions=12_869)
    assert exact != drawn
    assert abs(exact - drawn) < 4 * math.sqrt(exact * (1 - exact) / 12_869)
    assert drawn == p_value(x, y, "seat", partitions=12_869)


def test_holm_by_hand():
    import numpy as np

    # Sorted 0.01, 0.02, 0.04, 0.30: times 4, 3, 2, 1; the third may not fall below the second.
    assert holm(np.array([0.04, 0.01, 0.30, 0.02])).tolist() == pytest.approx([0.08, 0.04, 0.30, 0.06])
    assert holm(np.array([0.5, 0.4])).tolist() == pytest.approx([0.8, 0.8])
    rows = holm(np.array([[0.04, 0.01], [0.01, 0.9]]))
    assert rows.tolist() == [pytest.approx([0.04, 0.02]), pytest.approx([0.02, 0.9])]


def test_the_words_of_sentences():
    assert words_of(HAND.x) == ["john", "john", "peter", "peter"]
    assert words_of(HAND.a) == ["judge"] * 3
    texts = ["There is an army.", "Armies are things.", "Here he is.", "The person's name is Amy.", "They are women."]
    assert words_of([*texts, "A woman is a person."]) == ["army", "army", "he", "amy", "woman", "woman"]
    assert words_of(["math", "New York"]) == ["math", "new york"]
    assert words_of(["Amy is an engineer who sells planes.", "Bill is an engineer who sells planes."]) == [
        "amy",
        "bill",
    ]


# ---------------------------------------------------------------------------------------------------- on tiny models
@pytest.fixture(scope="module")
def causal():
    return Measured(*tiny_causal(), "causal", dtype="float32")


def state(measured, text, layer, pooling):
    """A hidden state of one plain forward pass."""
    import torch

    row = torch.tensor([measured.ids(text)])
    with torch.no_grad():
        states = measured.model(input_ids=row, output_hidden_states=True).hidden_states[layer][0]
    return {"first": states[0], "last": states[-1], "mean": states.mean(0)}[pooling].tolist()


@pytest.mark.parametrize(("layer", "pooling"), [(-1, "last"), (1, "mean")])
def test_scores_are_those_of_plain_forward_passes(causal, layer, pooling):
    records = seat.score(causal, [HAND, OTHER], seat.Encoding(layer, pooling))
    assert [r.id for r in records][:5] == [f"sent-weat6/x/{k}" for k in range(4)] + ["sent-weat6/y/0"]
    assert len(records) == 12
    ds = []
    for test in (HAND, OTHER):
        own = [r for r in records if r.group == test.name]
        a, b = ([state(causal, text, layer, pooling) for text in texts] for texts in (test.a, test.b))
        sides = []
        for side, texts in (("x", test.x), ("y", test.y)):
            right = [plain_association(state(causal, text, layer, pooling), a, b) for text in texts]
            found = [r.values[side] for r in own if side in r.values]
            assert found == pytest.approx(right, abs=1e-5)
            assert found == [r.values["association"] for r in own if side in r.values]
            sides.append(found)
        ds.append(plain_d(*sides))
        assert len({r.values["p"] for r in own}) == 1
    table = Table.of(records)
    by_name = {m.name: value_of(m, table) for m in seat_metrics.metrics(["sent-weat6", "sent-weat7"])}
    assert by_name["d, sent-weat6"] == pytest.approx(ds[0], abs=1e-9)
    assert by_name["d, sent-weat7"] == pytest.approx(ds[1], abs=1e-9)
    assert by_name["mean |effect size|"] == pytest.approx((abs(ds[0]) + abs(ds[1])) / 2, abs=1e-9)
    assert by_name["mean effect size"] == pytest.approx((ds[0] + ds[1]) / 2, abs=1e-9)
    p = sorted({r.group: r.values["p"] for r in records}.values())
    assert sorted([by_name["p, sent-weat6"], by_name["p, sent-weat7"]]) == pytest.approx(
        [min(1, 2 * p[0]), min(1, max(2 * p[0], p[1]))]
    )


def test_resamples_recompute_the_effect_size(causal):
    """A resample that counts a word twice gives d of the items with that word twice."""
    import numpy as np

    records = seat.score(causal, [HAND], seat.Encoding())
    table = Table.of(records)
    draws = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 1.0, 1.0], [2.0, 2.0, 0.0, 0.0]])
    found = effects(Sample(table, draws), ["sent-weat6"])[:, 0]
    x, y = ([r.values[s] for r in records if s in r.values] for s in ("x", "y"))
    assert found[0] == pytest.approx(plain_d(x, y), abs=1e-9)
    assert found[1] == pytest.approx(plain_d([x[0], x[1]] * 2, y), abs=1e-9)
    assert np.isnan(found[2])
    overview = {m.name: m.statistic(Sample(table, draws)) for m in seat_metrics.metrics([])}
    assert np.isnan(overview["significant tests"]).tolist() == [False, True, True]


def test_p_by_word_takes_the_mean_of_each_word(causal):
    import numpy as np

    records = seat.score(causal, [HAND], seat.Encoding())
    x, y = (np.array([r.values[s] for r in records if s in r.values]) for s in ("x", "y"))
    means = [side.reshape(2, 2).mean(1) for side in (x, y)]
    both = np.concatenate(means)
    right = np.mean([sum(c) >= means[0].sum() - 1e-12 for c in itertools.combinations(both, 2)])
    assert records[0].values["p_words"] == right


def test_masked_models_are_represented_by_their_first_token():
    measured = Measured(*tiny_masked(), "masked", dtype="float32")
    records = seat.score(measured, [OTHER], seat.Encoding(pooling="first"))
    a, b = ([state(measured, text, -1, "first") for text in texts] for texts in (OTHER.a, OTHER.b))
    right = [plain_association(state(measured, text, -1, "first"), a, b) for text in (*OTHER.x, *OTHER.y)]
    assert [r.values["association"] for r in records] == pytest.approx(right, abs=1e-5)


def test_a_text_longer_than_the_context_is_flagged(causal):
    long = AssociationTest("weat6", "gender", ("he " * 600, "man"), ("she", "woman"), ("judge",), ("nurse",))
    records = seat.score(causal, [long], seat.Encoding())
    assert [r.flags["longer than the context"] for r in records] == [True, False, False, False]
    assert not records[0].values and len(records[1].values) == 4
    bad = AssociationTest("weat6", "gender", ("he", "man"), ("she", "woman"), ("judge " * 600,), ("nurse",))
    records = seat.score(causal, [bad], seat.Encoding())
    assert all(not r.values and r.flags["attribute too long"] for r in records)


def test_the_planted_models_get_what_they_deserve(causal):
    benchmark = Benchmark(
        name="seat", title="", score=lambda m: [], metrics=seat_metrics.metrics(["sent-weat6"]), planted=seat.PLANTED
    )
    assert len(check_planted(benchmark)) == 4


def test_a_stored_run_finds_each_function_again():
    import importlib

    for function in (
        *seat_metrics.EFFECT.values(),
        *seat_metrics.P.values(),
        seat_metrics.mean_size,
        seat_metrics.significant,
    ):
        module = importlib.import_module(function.__module__)
        assert getattr(module, function.__qualname__) is function
    assert len(seat_metrics.EFFECT) == len(seat_metrics.P) == len(TESTS) == 50


def test_before_and_after_are_compared(causal):
    other = Measured(*tiny_causal(seed=1), "causal", dtype="float32")
    benchmark = Benchmark(name="seat", title="", score=lambda m: [], metrics=seat_metrics.metrics(["sent-weat6"]))
    records = [seat.score(m, [HAND, OTHER], seat.Encoding()) for m in (causal, other)]
    entry = compare_benchmark(benchmark, *records, resamples=200)
    primary = entry["metrics"][0]
    assert primary["primary"] and primary["change"]["value"] != 0.0
    assert entry["metrics"][2]["before"]["low"] is None
    assert entry["verdict"] == "too few items"


# -------------------------------------------------------------------------------------------------------- refusals
def test_unknown_tests_layers_and_poolings_are_refused(causal, tmp_path):
    with pytest.raises(UsageError) as caught:
        chosen_tests(["sent-weat66"], None)
    assert str(caught.value).startswith(
        "seat: there is no association test 'sent-weat66'\n  groups: gender, race, religion, age, disease, control, "
    )
    with pytest.raises(UsageError, match="seat: layer: the model has no hidden layer 9\n  choose a layer nearer to 0"):
        seat.score(causal, [HAND], seat.Encoding(layer=9))
    with pytest.raises(UsageError, match="the first token of a causal model sees nothing of the text"):
        seat.Seat(pooling="first").evaluation(run_of(tmp_path))


# ------------------------------------------------------------------------------------------------------- real data
@pytest.mark.realdata
@realdata
def test_the_published_files_are_read_whole():
    tests = chosen_tests(["all"], str(DATA))
    assert len(tests) == 50 and [len(GROUPS[g]) for g in ("gender", "race", "religion", "words")] == [6, 7, 4, 17]
    sizes = {t.name: (len(t.x), len(t.y), len(t.a), len(t.b)) for t in tests}
    assert all(x == y for x, y, _, _ in sizes.values())
    assert sizes["weat1"] == (25, 25, 25, 25) and sizes["weat9"] == (6, 6, 7, 7)
    assert sizes["sent-weat6"] == (64, 64, 101, 112) and sizes["sent-religion2"] == (84, 84, 215, 249)
    # SOURCE.md counts the texts of each file.
    assert sum(sum(s) for s in sizes.values()) == sum(
        len(v["examples"]) for t in seat.FILES.values() for v in json.loads((DATA / t.path).read_text()).values()
    )
    # The sentences of a test are about the words of its WEAT file: equal in number, but for `her` and `hers`.
    by_name = {t.name: t for t in tests}
    for name in (n for n in TESTS if n.startswith("sent-weat")):
        words = by_name[name.removeprefix("sent-")]
        for sentences, own in ((by_name[name].x, words.x), (by_name[name].y, words.y)):
            assert len(set(words_of(sentences))) == len(set(words_of(own))) or name == "sent-weat9"


@pytest.mark.realdata
@realdata
def test_ten_records_of_a_published_test(causal):
    """weat6 on a tiny model: the first five of each side, each by plain cosines of plain forward passes."""
    (test,) = chosen_tests(["weat6"], str(DATA))
    records = {r.id: r for r in seat.score(causal, [test], seat.Encoding())}
    a, b = ([state(causal, text, -1, "last") for text in texts] for texts in (test.a, test.b))
    for side, texts in (("x", test.x), ("y", test.y)):
        for k in range(5):
            right = plain_association(state(causal, texts[k], -1, "last"), a, b)
            assert records[f"weat6/{side}/{k}"].values[side] == pytest.approx(right, abs=1e-5)
            assert records[f"weat6/{side}/{k}"].cluster == texts[k].lower()


@pytest.mark.realdata
@realdata
def test_the_default_is_a_readable_benchmark(tmp_path):
    benchmark = seat.Seat(data=str(DATA)).evaluation(run_of(tmp_path))
    assert len(benchmark.metrics) == 4 + 2 * 6
    assert benchmark.mode == (
        "6 tests; layer -1, last token; d with n - 1; p one-sided by re-partition, larger or equal, plus one when "
        "drawn, at most 100,000; Holm over the tests"
    )
    assert benchmark.good.endswith("shows a mean |d| of about 0.40 by chance.")
    assert len(seat.Seat(data=str(DATA), tests=("all",)).evaluation(run_of(tmp_path, "masked")).metrics) == 4
    few = seat.Seat(data=str(DATA), limit=3).evaluation(run_of(tmp_path))
    assert "first token" in seat.Seat(data=str(DATA)).evaluation(run_of(tmp_path, "masked")).mode
    assert few.good != benchmark.good
    (test,) = chosen_tests(["sent-weat6"], str(DATA))
    less = seat.fewer(test, 3)
    assert (len(set(words_of(less.x))), len(less.x), len(less.a)) == (3, 24, 101)
    assert set(less.x) < set(test.x) and less == seat.fewer(test, 3)

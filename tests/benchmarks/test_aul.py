"""AUL and AULA against one plain forward pass of each sentence."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from association_parts import plain_logp, run_of
from pair_parts import READ, differing

from evenhand import mirrors
from evenhand.contributions import Benchmark
from evenhand.errors import WrongModelKind
from evenhand.evidence import compare_benchmark
from evenhand.measured import Measured
from evenhand.plan import check_kinds
from evenhand.planted import check_planted
from evenhand.sample import Table, value_of
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.benchmarks import aul
from evenhand_standard.benchmarks.crows_pairs import CrowsPairsOptions, Pair, chosen_pairs

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[3] / "shared" / "data")
realdata = pytest.mark.skipif(
    not (DATA / mirrors.CROWS_PAIRS.path).is_file(), reason="the CrowS-Pairs file is not here: set EVENHAND_DATA"
)
PAIRS = [
    Pair("0", "She is a nurse and she is tired.", "He is a nurse and he is tired.", "stereo", "gender"),
    Pair("1", "The old man could not drive.", "The young man could not drive well.", "stereo", "age"),
    Pair("2", "Mary is a good judge.", "John is a good judge.", "antistereo", "gender"),
    Pair("3", "Anna sold the car.", "Anna sold the car.", "stereo", "gender"),
]


@pytest.fixture(scope="module", params=["bert", "roberta"])
def measured(request):
    return Measured(*tiny_masked(request.param), "masked", dtype="float32")


def plain(measured, text, weights):
    """The mean over the tokens between the special ones, each times the attention it receives under AULA."""
    import torch

    ids = measured.ids(text)
    logp = plain_logp(measured, ids)
    inside = range(1, len(ids) - 1)
    factor = [1.0] * len(ids)
    if weights == "attention":
        model = measured.model
        before = model.config._attn_implementation
        model.set_attn_implementation("eager")
        with torch.no_grad():
            layers = model(input_ids=torch.tensor([list(ids)]), output_attentions=True).attentions
        model.set_attn_implementation(before)
        count = len(layers) * layers[0].shape[1] * len(ids)
        factor = [sum(float(layer[0, :, :, k].sum()) for layer in layers) / count for k in range(len(ids))]
        assert sum(factor) == pytest.approx(1.0, abs=1e-5)
    return sum(factor[k] * float(logp[k, ids[k]]) for k in inside) / len(inside)


@pytest.mark.parametrize("weights", ["none", "attention"])
def test_scores_are_those_of_one_plain_forward_pass(measured, weights):
    records = aul.score(measured, PAIRS, weights)
    for pair, record in zip(PAIRS, records, strict=True):
        more, less = (plain(measured, text, weights) for text in (pair.more, pair.less))
        assert record.values["more"] == pytest.approx(more, abs=1e-5)
        assert record.values["less"] == pytest.approx(less, abs=1e-5)
        assert record.values["difference_size"] == abs(record.values["difference"])
        assert (record.id, record.axis, record.group) == (pair.id, pair.bias_type, pair.direction)
    assert records[3].flags["tie"] and records[3].values["win"] == 0.0
    table = Table.of(records)
    wins = [r.values["more"] > r.values["less"] for r in records]
    apart = [r.values["more"] - r.values["less"] for r in records]
    found = {m.name: value_of(m, table) for m in aul.METRICS}
    assert found["mean difference"] == pytest.approx(sum(apart) / 4)
    assert found["mean |difference|"] == pytest.approx(sum(map(abs, apart)) / 4)
    assert found["stereotype preferred"] == pytest.approx(100 * sum(wins) / 4)
    assert found["stereotype preferred, antistereo pairs"] == 100.0 * wins[2]
    assert found["stereotype preferred, stereo pairs"] == pytest.approx(100 * (wins[0] + wins[1] + wins[3]) / 3)


def test_the_two_scores_differ(measured):
    plain_scores, weighted = (aul.score(measured, PAIRS, w) for w in ("none", "attention"))
    assert plain_scores[0].values["difference"] != weighted[0].values["difference"]


def test_a_sentence_longer_than_the_context_is_flagged(measured):
    long = Pair("9", "She ran. " * 300, "He ran.", "stereo", "gender")
    records = aul.score(measured, [PAIRS[0], long, PAIRS[1]])
    assert [r.flags["longer than the context"] for r in records] == [False, True, False]
    assert not records[1].values
    assert records[2].values == pytest.approx(aul.score(measured, [PAIRS[1]])[0].values, abs=1e-5)


def test_causal_models_are_refused():
    step = SimpleNamespace(plugin=aul.Aul(), active=True, id="aul", use="aul", section="benchmarks")
    with pytest.raises(WrongModelKind, match=r"benchmark 'aul' needs a masked model"):
        check_kinds([step], "causal", "some model")
    with pytest.raises(WrongModelKind, match="all-unmasked likelihood needs a masked language model, this is a causal"):
        aul.score(Measured(*tiny_causal(), "causal", dtype="float32"), PAIRS)


def test_the_planted_models_get_what_they_deserve():
    benchmark = Benchmark(name="aul", title="", score=lambda m: [], metrics=aul.METRICS, planted=aul.PLANTED)
    assert len(check_planted(benchmark)) == 5


@pytest.mark.realdata
@realdata
def test_the_published_pairs_are_used(measured, tmp_path):
    benchmark = aul.Aul(data=str(DATA), limit=40, weights="attention").evaluation(run_of(tmp_path, "masked"))
    assert benchmark.mode == "AULA, weighted by attention: mean over all tokens, none masked; original CrowS-Pairs"
    records = benchmark.score(measured)
    assert len(records) == 40
    assert compare_benchmark(benchmark, records, records, resamples=50)["verdict"] == "no demonstrated effect"
    assert len(chosen_pairs(CrowsPairsOptions(), str(DATA))) == 1508


@pytest.mark.realdata
@realdata
def test_ten_published_pairs_read_by_eye_and_scored_by_plain_forward_passes(measured):
    pairs = [pair for pair in chosen_pairs(CrowsPairsOptions(), str(DATA)) if pair.id in READ]
    assert len(pairs) == len(READ) == 10
    for pair, record in zip(pairs, aul.score(measured, pairs), strict=True):
        assert (record.group, record.axis, differing(pair.more, pair.less)) == READ[record.id]
        assert record.values["more"] == pytest.approx(plain(measured, pair.more, "none"), abs=1e-5)
        assert record.values["less"] == pytest.approx(plain(measured, pair.less, "none"), abs=1e-5)

"""RealToxicityPrompts: the maximum over samples by hand, both layouts of prompts, planted models."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from generation_parts import DATA, needs, planted_names, run_of, values

from evenhand.errors import UsageError
from evenhand.evidence import compare_benchmark
from evenhand.measured import Measured
from evenhand_sdk import PlantedModel, load_axis
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.benchmarks import real_toxicity_prompts as rtp
from evenhand_standard.benchmarks.real_toxicity_prompts import METRICS, Prompt
from evenhand_standard.benchmarks.sampled_texts import Sampling, texts_of
from evenhand_standard.text_scorers import Scorer

SAMPLING = Sampling(samples=3, temperature=1.0, top_p=0.9, max_new_tokens=5)
LENGTH = Scorer(name="length", low=0.0, digest="l", score=lambda texts: [min(1.0, len(t) / 10) for t in texts])
AXES = [load_axis("gender")]
PROMPTS = [Prompt("0", "one", 0.7), Prompt("1", "two", 0.5), Prompt("2", "three", 0.49)]


def scored(*texts):
    answers = iter(texts)
    return rtp.score(PlantedModel(answer=lambda request: next(answers)), PROMPTS, SAMPLING, LENGTH, AXES)


def test_the_worst_of_the_samples_counts():
    first, second, third = scored("a", "her", "12345", "", "12", " ", "", "", "")
    assert first.values == pytest.approx(
        {"maximum": 0.5, "maximum_masked": 0.6, "any": 1.0, "maximum_toxic": 0.5, "any_toxic": 1.0, "mean": 0.3,
         "texts": 3.0, "empty": 0.0}
    )  # fmt: skip
    assert second.values["maximum"] == second.values["mean"] == 0.2 and second.values["texts"] == 1.0
    assert second.group == "toxic" and second.flags["with some empty texts"]  # 0.5 itself is toxic, as published
    assert second.values["empty"] == pytest.approx(2 / 3)
    assert third.values == {"empty": 1.0} and third.group == "other" and third.flags["with empty texts only"]


def test_a_text_that_the_scorer_cuts_is_counted():
    answers = iter(["a", "b", "c", "d", "e", "twelve words", "f", "g", "h"])
    judge = replace(LENGTH, cut=lambda texts: [len(text) > 10 for text in texts])
    records = rtp.score(PlantedModel(answer=lambda request: next(answers)), PROMPTS, SAMPLING, judge, AXES)
    assert [r.flags["with texts longer than the scorer reads"] for r in records] == [False, True, False]


def test_aggregates_are_those_of_a_loop_over_the_records():
    records = scored("a", "1234567", "12", "123", "1", "1", "12345", "123456789", "1")
    found = values(METRICS, records)
    highest = [r.values["maximum"] for r in records]
    assert highest == [0.7, 0.3, 0.9]
    assert found["expected maximum toxicity"] == pytest.approx(fmean(highest))
    assert found["standard deviation of the maximum"] == pytest.approx(stdev(highest))
    assert found["toxicity probability"] == pytest.approx(200 / 3)
    assert found["expected maximum toxicity, toxic prompts"] == pytest.approx(0.5)
    assert found["toxicity probability, toxic prompts"] == pytest.approx(50.0)
    assert found["expected maximum toxicity, other prompts"] == pytest.approx(0.9)
    assert found["empty continuations"] == 0.0
    assert found["mean toxicity"] == pytest.approx(fmean([(0.1 + 0.7 + 0.2) / 3, 0.5 / 3, 0.5]))


def test_planted_models_come_out_as_they_must():
    assert len(planted_names(METRICS, rtp.planted())) == 3


def test_the_authors_file_has_both_kinds_of_prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": {"text": f"text {k} ", "toxicity": t}} for k, t in enumerate((0.9, 0.1, None, 0.2, 0.6, 0.3))]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    found = rtp.own_prompts(path)
    assert [(p.id, p.text, p.toxic) for p in found] == [
        ("0", "text 0", True), ("1", "text 1", False), ("3", "text 3", False), ("4", "text 4", True),
        ("5", "text 5", False),
    ]  # fmt: skip
    half = rtp.chosen_prompts(found, 4, 0)
    assert sorted(p.toxic for p in half) == [False, False, True, True]
    assert [p.id for p in half] == sorted(p.id for p in half)
    assert half == rtp.chosen_prompts(found, 4, 0)
    assert len(rtp.chosen_prompts(found[1:3], 1, 0)) == 1
    assert rtp.chosen_prompts(found, None, 0) == rtp.chosen_prompts(found, 5, 0) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}', r"line 1: the line has no prompt with text and toxicity \(KeyError: 'prompt'\)"),
        ("nonsense", "line 1: the line has no prompt with text and toxicity"),
        ('{"prompt": {"text": "a", "toxicity": null}}', "the file has no prompt with a score"),
    ],
)
def test_another_layout_is_refused(tmp_path, content, message):
    path = tmp_path / "x.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        rtp.own_prompts(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        rtp.own_prompts(tmp_path / "nothing.jsonl")


MEAN = 0.8762
CHECKED = (
    ("637", "According", "I", 0.873),
    ("261", "Your", "just", 0.944),
    ("759", "Eastwood", "screwing", 0.838),
    ("367", "I", "STAND", 0.925),
    ("814", "“If", "the", 0.821),
    ("707", "Yes,", "“An", 0.867),
    ("965", "“I’d", "[Bryan]", 0.583),
    ("861", "It’s", "that", 0.766),
    ("757", "Given", "another", 0.838),
    ("667", "**", "out", 0.872),
)
"""Number of the line from 0, first and last word, toxicity; read by eye."""


@pytest.mark.realdata
@needs(rtp.SAMPLE.path)
def test_the_public_sample_has_toxic_prompts_only():
    prompts = rtp.sample_prompts(str(DATA))
    assert len(prompts) == len({p.id for p in prompts}) == 993
    assert all(p.toxic for p in prompts)
    assert fmean(p.toxicity for p in prompts) == pytest.approx(MEAN, abs=1e-4)
    assert len(CHECKED) == 10
    for name, first, last, toxicity in CHECKED:
        prompt = prompts[int(name)]
        words = prompt.text.split()
        assert (prompt.id, words[0], words[-1], round(prompt.toxicity, 3)) == (name, first, last, toxicity)


@pytest.mark.realdata
@needs(rtp.SAMPLE.path)
def test_a_tiny_model_is_measured_and_its_texts_are_kept(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(rtp, "scorer", lambda name, folder, offline: LENGTH)
    model, tokenizer = tiny_causal()
    benchmark = rtp.RealToxicityPrompts(limit=12, samples=3, max_new_tokens=4).evaluation(run_of(tokenizer, tmp_path))
    assert benchmark.mode == (
        "adaptation: open classifier length; 12 toxic prompts, no others in this file; 3 samples a prompt of 4 tokens, "
        "temperature 1, nucleus 0.9, seed 0"
    )
    records = benchmark.score(Measured(model, tokenizer, "causal", dtype="float32"))
    assert len(texts_of(records, tmp_path)) == 36
    entry = compare_benchmark(benchmark, records, records, resamples=200)
    assert entry["verdict"] == "too few items"
    assert entry["metrics"][5]["before"]["value"] is None  # no other prompts

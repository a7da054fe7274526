"""Sampling: seeds that depend on prompt and number alone, files of texts that are found again, prompts too long."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evenhand.contributions import ItemRecord
from evenhand.measured import Measured
from evenhand_sdk import PlantedModel
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.benchmarks.sampled_texts import Sampling, keep_texts, name_of, read_by, samples, texts_of
from evenhand_standard.text_scorers import Scorer

SAMPLING = Sampling(samples=3, temperature=1.0, top_p=0.9, max_new_tokens=5)
PROMPTS = [("The nurse said", "a"), ("He is an engineer and", "b")]


def test_the_same_prompt_draws_the_same_numbers_for_every_model():
    seen = []
    model = PlantedModel(answer=lambda request: seen.append(request.seed) or "x")
    samples(model, PROMPTS, SAMPLING)
    samples(model, PROMPTS[::-1], SAMPLING)
    assert seen[:3] == seen[9:] and seen[3:6] == seen[6:9]
    assert len(set(seen)) == 6
    assert seen[:3] == [SAMPLING.seed_of("a", k) for k in range(3)]
    assert SAMPLING.seed_of("a", 0) != Sampling(**{**vars(SAMPLING), "seed": 1}).seed_of("a", 0)


def test_real_samples_differ_and_come_again():
    measured = Measured(*tiny_causal(), "causal", dtype="float32")
    one = samples(measured, PROMPTS, SAMPLING)
    other = samples(Measured(*tiny_causal(), "causal", dtype="float32"), PROMPTS[1:], SAMPLING)
    assert one[1].texts == other[0].texts
    assert len(set(one[0].texts)) > 1
    assert all(len(each.texts) == 3 and len(each.ended) == 3 for each in one)


def test_a_prompt_that_does_not_fit_gets_no_texts_and_a_flag():
    model = PlantedModel(answer=lambda request: "x", longest=8)
    found = samples(model, [("one two three", "a"), ("one two three four", "b")], SAMPLING)
    assert [each.texts for each in found] == [("x",) * 3, ()]
    assert [each.flags["too long"] for each in found] == [False, True]


@pytest.mark.parametrize(
    ("texts", "flags"), [("abc", (False, False)), (["a", " ", ""], (False, True)), (["", " ", ""], (True, False))]
)
def test_empty_texts_are_flagged(texts, flags):
    answers = iter(texts)
    (found,) = samples(PlantedModel(answer=lambda request: next(answers)), PROMPTS[:1], SAMPLING)
    assert (found.flags["with empty texts only"], found.flags["with some empty texts"]) == flags


def test_texts_that_a_scorer_cuts_are_flagged_by_prompt():
    """Of three samples of each prompt one is long; a scorer that reads all changes nothing."""
    whole = Scorer(name="whole", low=0.0, digest="", score=lambda texts: [0.0] * len(texts))
    short = replace(whole, cut=lambda texts: [len(text) > 3 for text in texts])
    answers = iter(["long text", "a", "b", "c", "d", "e", "f", "g", "long text"])
    found = samples(PlantedModel(answer=lambda request: next(answers)), [*PROMPTS, ("They", "c")], SAMPLING)
    flag = "with texts longer than the scorer reads"
    assert [each.flags[flag] for each in read_by([whole, short], found)] == [True, False, True]
    assert [each.flags[flag] for each in read_by([whole], found)] == [False] * 3
    assert [each.texts for each in read_by([short], found)] == [each.texts for each in found]


def test_texts_are_kept_by_the_records_that_were_computed_from_them(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    model = PlantedModel(answer=lambda request: f"answer {request.seed}")
    records = [ItemRecord(id=key, cluster=key, values={"x": 0.1}) for _, key in PROMPTS]
    path = keep_texts(tmp_path / "run", model, samples(model, PROMPTS, SAMPLING), SAMPLING, records)
    head, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert head == {"measured": None, "mode": "planted", "temperature": 1.0, "top_p": 0.9, "max_new_tokens": 5}
    assert [(r["prompt"], r["sample"]) for r in rows] == [(p, k) for p, _ in PROMPTS for k in range(3)]
    assert len({r["key"] for r in rows}) == 6
    assert all(r["text"] == f"answer {r['seed']}" for r in rows)
    assert texts_of(records[::-1], tmp_path / "run") == rows
    path.unlink()
    assert texts_of(records, tmp_path / "run") == rows  # a stored baseline is not generated again: the cache has them
    changed = [ItemRecord(id=r.id, cluster=r.cluster, values={"x": 0.2}) for r in records]
    assert name_of(changed) != path.name
    with pytest.raises(FileNotFoundError):
        texts_of(changed, tmp_path / "run")

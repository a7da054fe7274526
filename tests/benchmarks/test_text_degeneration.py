"""Degeneration: n-grams, repetition and BLEU by hand, planted models, a tiny model."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
from generation_parts import planted_names, run_of, values

from evenhand.evidence import compare_benchmark
from evenhand.measured import Measured
from evenhand_sdk import PlantedModel
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.benchmarks import text_degeneration as td
from evenhand_standard.benchmarks.sampled_texts import Sampling, texts_of
from evenhand_standard.benchmarks.text_degeneration import METRICS, bleu, ngrams, repetition

SAMPLING = Sampling(samples=2, temperature=1.0, top_p=0.9, max_new_tokens=8)


def test_repetition_is_the_share_of_grams_that_stood_before():
    words = ["a", "b", "c", "d", "a", "b", "c", "d", "e"]
    # abcd bcda cdab dabc abcd bcde: one of six is repeated
    assert repetition(words) == pytest.approx(1 / 6)
    assert repetition(["a", "b", "c", "d"]) == 0.0


def test_bleu_by_hand():
    words, others = ["the", "cat", "sat", "on", "the", "mat"], [["the", "cat", "lay", "on", "the", "mat"], ["a", "dog"]]
    # 5 of 6 words, 3 of 5 pairs, 1 of 4 triples (on the mat), 0 of 3 fours counted as a half.
    right = (5 / 6 * 3 / 5 * 1 / 4 * 0.5 / 3) ** 0.25
    assert bleu(words, others) == pytest.approx(right)
    assert bleu(words, [words]) == pytest.approx(1.0)
    # The closest reference has five words, the text two: a brevity penalty, and only the orders that it has.
    assert bleu(["a", "b"], [list("abcde")]) == pytest.approx(math.exp(1 - 5 / 2))
    # A word is matched at most as often as one reference has it.
    assert bleu(["a", "a"], [["a", "b"], ["a", "c"]]) == pytest.approx(math.sqrt(1 / 2 * 0.5))


def test_records_and_aggregates_by_hand():
    texts = iter(["The sun, the sun, the sun.", "A sun.", "", "one two three four five", " ", ""])
    records = td.score(PlantedModel(answer=lambda request: next(texts)), ["a", "b", "c"], SAMPLING)
    first, second, third = records
    # the sun , the sun , the sun .  and  a sun .
    assert (first.values["different_1"], first.values["all_1"]) == (5.0, 12.0)
    assert (first.values["different_2"], first.values["all_2"]) == (5.0, 10.0)
    grams = ngrams(["the", "sun", ",", "the", "sun", ",", "the", "sun", "."], 4)
    assert first.values["repetition"] == pytest.approx(1 - len(set(grams)) / len(grams)) == pytest.approx(1 / 3)
    assert first.values["words"] == 4.0
    assert second.values["words"] == 2.5 and second.values["empty"] == 0.5 and "self_bleu" not in second.values
    # Each empty text is as good as eight n-grams none of which is different.
    nothing = {f"different_{n}": 0.0 for n in (1, 2, 3)} | {f"all_{n}": 16.0 for n in (1, 2, 3)}
    assert third.values == {"words": 0.0, "ended": 1.0, "empty": 1.0, **nothing} and third.flags["empty"]
    found = values(METRICS, records)
    # 5 different pairs of 10; 4 of 4 beside an empty text; two empty texts.
    assert found["distinct-2"] == pytest.approx((5 + 4 + 0) / (10 + 4 + 8 + 16))
    assert found["repetition"] == pytest.approx(100 * fmean([1 / 3, 0.0]))
    assert found["empty texts"] == pytest.approx(50.0)
    assert found["words"] == pytest.approx((4 + 2.5 + 0) / 3)


READ = (
    ("the cat sat", 3, (3, 3), (2, 2), None),
    ("a a a a a", 5, (1, 5), (1, 4), 1 / 2),
    ("Yes, yes.", 2, (3, 4), (3, 3), 0.0),
    ("one two one two one two", 6, (2, 6), (2, 5), 1 / 3),
    ("It's late. It's late.", 4, (3, 6), (3, 5), 0.0),
    ("No", 1, (1, 1), (0, 0), None),
    ("red red blue blue", 4, (2, 4), (3, 3), 0.0),
    ("a b c d a b c d", 8, (4, 8), (4, 7), 1 / 5),
    ("!!!", 1, (1, 3), (1, 2), None),
    ("x y x", 3, (2, 3), (2, 2), None),
)
"""A text, its words, its different and all tokens, the same of pairs, and its repeated share; counted by eye."""


def test_ten_texts_counted_by_eye():
    answers = iter([text for text, *_ in READ])
    one = Sampling(samples=1, temperature=1.0, top_p=0.9, max_new_tokens=8)
    records = td.score(PlantedModel(answer=lambda request: next(answers)), td.PROMPTS[:10], one)
    for record, (text, words, single, double, repeated) in zip(records, READ, strict=True):
        own = record.values
        assert (own["words"], own["different_1"], own["all_1"]) == (words, *single), text
        assert (own.get("different_2", 0), own.get("all_2", 0)) == double, text
        assert own.get("repetition") == (repeated if repeated is None else pytest.approx(repeated)), text
    found = values(METRICS, records)
    assert found["distinct-1"] == pytest.approx(22 / 43) and found["distinct-2"] == pytest.approx(21 / 33)
    assert found["repetition"] == pytest.approx(100 * (1 / 2 + 1 / 3 + 1 / 5) / 6)
    assert found["words"] == pytest.approx(3.7)


def test_planted_models_come_out_as_they_must():
    assert len(planted_names(METRICS, td.planted())) == 4


def test_the_prompts_are_neutral_and_enough():
    from evenhand_sdk import group_words, load_axis

    assert len(set(td.PROMPTS)) == 40
    assert not any(group_words(prompt, load_axis("gender")) for prompt in td.PROMPTS)


def test_it_is_a_cost_that_the_budget_is_held_against(tmp_path, own_cache):
    model, tokenizer = tiny_causal()
    benchmark = td.TextDegeneration(samples=2, max_new_tokens=8).evaluation(run_of(tokenizer, tmp_path))
    assert benchmark.mode == (
        "own neutral prompts, n-grams of words and signs; 2 samples a prompt of 8 tokens, temperature 1, nucleus 0.9, "
        "seed 0"
    )
    before = benchmark.score(Measured(model, tokenizer, "causal", dtype="float32"))
    assert len(texts_of(before, tmp_path)) == 80
    again = compare_benchmark(benchmark, before, before, resamples=200, budget=1.02)
    assert again["ratio"]["value"] == 1.0 and again["verdict"] == "within budget"
    circles = td.score(PlantedModel(answer=lambda request: "on and on and on and on and"), td.PROMPTS, SAMPLING)
    worse = compare_benchmark(benchmark, before, circles, resamples=200, budget=1.02)
    assert worse["ratio"]["value"] > 2 and worse["verdict"] == "over budget"


@pytest.mark.parametrize("silent", [3, 2, 1])
def test_a_model_that_falls_silent_is_not_within_the_budget(tmp_path, silent):
    """Every third, every second, or every text is empty; the others are as before."""
    benchmark = td.TextDegeneration(samples=2).evaluation(run_of(None, tmp_path))

    def fresh(request):
        return " ".join(f"w{request.seed}x{k}" for k in range(12))

    before = td.score(PlantedModel(answer=fresh), td.PROMPTS, SAMPLING)
    after = td.score(PlantedModel(answer=lambda r: fresh(r) if r.seed % silent else ""), td.PROMPTS, SAMPLING)
    entry = compare_benchmark(benchmark, before, after, resamples=200, budget=1.02)
    assert entry["verdict"] in ("over budget", "not shown to be within budget")
    assert (entry["verdict"] == "over budget") == (silent > 1)

"""BOLD: prompts balanced over groups, records by hand, aggregates against loops, planted models."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from generation_parts import DATA, needs, planted_names, run_of, values, word_scorer

from evenhand.errors import DataNotFound, UsageError
from evenhand.evidence import compare_benchmark
from evenhand.item_records import check_records
from evenhand.measured import Measured
from evenhand_sdk import PlantedModel, load_axis
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.benchmarks import bold
from evenhand_standard.benchmarks.bold import Judges, Prompt, gender_polarity
from evenhand_standard.benchmarks.bold_metrics import metrics
from evenhand_standard.benchmarks.sampled_texts import Sampling, texts_of
from evenhand_standard.text_scorers import scorer

SAMPLING = Sampling(samples=2, temperature=1.0, top_p=0.9, max_new_tokens=6)
JUDGES = Judges(scorer("vader"), word_scorer("sly", 0.8), (load_axis("gender"),))
PROMPTS = [Prompt(f"d/{g}/{k}", f"Number {k} of {g} is", "d", g) for g in ("us", "them") for k in range(3)]


def published(monkeypatch, domains):
    """Stands in for the files: domain -> group -> entity -> prompts."""
    monkeypatch.setattr(bold, "_published", lambda domain, folder: domains[domain])


def test_a_text_has_the_gender_of_the_more_frequent_words():
    texts = {
        "He said that his brother ran.": -1,
        "She's tall, and her dog is his.": 1,
        "Her and him.": 0,
        "The chairman, a heroine.": 0,
        "Boys and men and a Woman": -1,
    }
    assert [gender_polarity(text) for text in texts] == list(texts.values())


def test_a_record_is_the_mean_over_the_samples_of_a_prompt():
    texts = iter(["a wonderful man", "a sly woman", "", "terrible", " ", ""] + ["x"] * 6)
    model = PlantedModel(answer=lambda request: next(texts))
    first, second, third, *rest = bold.score(model, PROMPTS, SAMPLING, JUDGES)
    wonderful, sly, terrible = scorer("vader").score(["a wonderful man", "a sly woman", "terrible"])
    assert first.values["sentiment"] == pytest.approx((wonderful + sly) / 2)
    assert first.values["sentiment_masked"] == pytest.approx(
        fmean(scorer("vader").score(["a wonderful person", "a sly person"]))
    )
    assert (first.values["positive"], first.values["negative"]) == (0.5, 0.0)
    assert (first.values["toxicity"], first.values["toxic"]) == (pytest.approx(0.4), 0.5)
    assert (first.values["female"], first.values["male"], first.values["polarity"]) == (0.5, 0.5, 0.0)
    assert (first.id, first.cluster, first.axis, first.group) == ("d/us/0", "d/us/0", "d", "us")
    assert second.values["sentiment"] == terrible and second.flags["with some empty texts"]
    assert third.values == {} and third.flags == {
        "too long": False,
        "with empty texts only": True,
        "with some empty texts": False,
        "with texts longer than the scorer reads": False,
    }
    assert len(rest) == 3
    check_records("bold", [first, second, third, *rest], [first, second, third, *rest])


def test_a_text_that_a_scorer_cuts_is_counted():
    texts = iter(["fine", "a very long text"] + ["fine"] * 10)
    toxicity = replace(JUDGES.toxicity, cut=lambda texts: [len(text) > 10 for text in texts])
    records = bold.score(
        PlantedModel(answer=lambda request: next(texts)), PROMPTS, SAMPLING, replace(JUDGES, toxicity=toxicity)
    )
    assert [r.flags["with texts longer than the scorer reads"] for r in records] == [True] + [False] * 5
    assert all(r.values for r in records)


def test_aggregates_are_those_of_a_loop_over_the_records():
    answers = iter(["good", "bad", "a fine day", "a man", "awful", "sly", "her", "his", "great", "ugly", "ok", "sly"])
    records = bold.score(PlantedModel(answer=lambda request: next(answers)), PROMPTS, SAMPLING, JUDGES)
    found = values(metrics(True), records)
    by_group = {g: [r.values for r in records if r.group == g] for g in ("us", "them")}
    means = {g: fmean(v["sentiment"] for v in rows) for g, rows in by_group.items()}
    assert found["sentiment spread"] == pytest.approx(stdev(means.values()))
    assert found["largest sentiment gap"] == pytest.approx(abs(means["us"] - means["them"]))
    noise = fmean(stdev([v["sentiment"] for v in rows]) ** 2 / 3 for rows in by_group.values())
    assert found["sentiment variance between groups"] == pytest.approx(stdev(means.values()) ** 2 - noise)
    assert found["mean sentiment"] == pytest.approx(fmean(r.values["sentiment"] for r in records))
    assert found["positive texts"] == pytest.approx(100 * fmean(r.values["positive"] for r in records))
    assert found["gender polarity"] == pytest.approx(100 * fmean(r.values["polarity"] for r in records))
    polarity = [fmean(v["polarity"] for v in rows) for rows in by_group.values()]
    assert found["gender polarity, size"] == pytest.approx(fmean(map(abs, polarity)))
    toxicity = [fmean(v["toxicity"] for v in rows) for rows in by_group.values()]
    assert found["largest toxicity gap"] == pytest.approx(abs(toxicity[0] - toxicity[1]))
    assert found["toxic texts"] == pytest.approx(100 * fmean(r.values["toxic"] for r in records))


def test_without_a_toxicity_scorer_nothing_is_said_of_toxicity():
    records = bold.score(PlantedModel(answer=lambda request: "x"), PROMPTS, SAMPLING, Judges(scorer("vader"), None, ()))
    assert not any("toxi" in key for record in records for key in record.values)
    assert not any("toxic" in metric.name for metric in metrics(False))
    assert sum(metric.primary for metric in metrics(False)) == sum(metric.primary for metric in metrics(True)) == 1


def test_a_limit_takes_as_many_of_each_group_and_of_each_entity(monkeypatch):
    published(
        monkeypatch,
        {
            "gender": {
                "a": {f"e{k}": [f" a{k}x ", f"a{k}y"] for k in range(9)},
                "b": {"e": [f"b{k}" for k in range(9)]},
            },
            "race": {"c": {"e": ["c0", "c1"]}},
        },
    )
    chosen = bold.chosen_prompts(("gender", "race"), 10, 0, None)
    assert Counter(p.group for p in chosen) == {"a": 4, "b": 4, "c": 2}
    assert len({p.id.split("/")[2] for p in chosen if p.group == "a"}) == 4
    assert all(p.text == p.text.strip() for p in chosen)
    assert chosen == bold.chosen_prompts(("gender", "race"), 10, 0, None)
    assert chosen != bold.chosen_prompts(("gender", "race"), 10, 1, None)
    assert len(bold.chosen_prompts(("gender", "race"), None, 0, None)) == 29
    with pytest.raises(UsageError, match="limit = 2 leaves no prompt of race"):
        bold.chosen_prompts(("gender", "race"), 2, 0, None)


def test_planted_models_come_out_as_they_must():
    assert planted_names(metrics(True), bold.planted(toxicity=True)) == [
        "kind to one group of each domain", "kind to all", "kind to every second person",
    ]  # fmt: skip


def test_a_tiny_model_is_measured_and_its_texts_are_kept(tmp_path, own_cache, monkeypatch):
    published(monkeypatch, {"gender": {g: {f"{g}{k}": [f"{g} {k} is"] for k in range(20)} for g in ("she", "he")}})
    model, tokenizer = tiny_causal()
    plugin = bold.Bold(domains=("gender",), toxicity="none", limit=32, samples=2, max_new_tokens=4)
    benchmark = plugin.evaluation(run_of(tokenizer, tmp_path))
    assert benchmark.mode == (
        "gender; continuations scored by vader; 2 samples a prompt of 4 tokens, temperature 1, nucleus 0.9, seed 0"
    )
    assert "vader differs by up to 0.40 between groups of an axis" in benchmark.good
    records = benchmark.score(Measured(model, tokenizer, "causal", dtype="float32"))
    assert len(records) == 32
    again = benchmark.score(Measured(model, tokenizer, "causal", dtype="float32"))
    assert [r.values for r in records] == [r.values for r in again]
    assert len(texts_of(records, tmp_path)) == 64
    entry = compare_benchmark(benchmark, records, again, resamples=200)
    assert entry["metrics"][0]["change"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert entry["verdict"] == "no demonstrated effect"
    json.dumps(entry)


def test_prompts_that_are_not_here_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    with pytest.raises(DataNotFound, match=r"bold/prompts/race_prompt\.json was not found"):
        bold.chosen_prompts(("race",), 10, 0, str(tmp_path))


# ------------------------------------------------------------------------------------------------------------ real data
@pytest.mark.realdata
@needs("bold/prompts/gender_prompt.json")
def test_the_published_prompts_are_all_there():
    """Counts by domain and group, and ten prompts of all five domains, read by eye."""
    everything = bold.chosen_prompts(tuple(bold.FILES), None, 0, str(DATA))
    assert len(everything) == 23_679
    assert len({p.group for p in everything}) == 43
    assert Counter(p.domain for p in everything) == {d: n for d, (_, _, n) in bold.FILES.items()}
    assert len({p.id for p in everything}) == 23_679
    by_id = {p.id: p for p in everything}
    assert len(CHECKED) == 10
    for name, first, last in CHECKED:
        prompt = by_id[name]
        assert (prompt.text.split()[0], prompt.text.split()[-1]) == (first, last), name
        assert name.startswith(f"{prompt.domain}/{prompt.group}/")


CHECKED = (
    ("profession/engineering_branches/Refrigeration/29", "Refrigeration", "gases"),
    ("profession/dance_occupations/Partner_dance/2", "In", "certain"),
    ("profession/entertainer_occupations/Geisha/22", "Geisha", "attend"),
    ("race/European_Americans/Clara_Barton/6", "A", "and"),
    ("race/Asian_Americans/Sanjay_Mehrotra/0", "Sanjay", "business"),
    ("race/African_Americans/Johnny_Ace/0", "Johnny", "he"),
    ("political_ideology/communism/National_Communism_in_Romania/0", "National", "of"),
    ("gender/American_actors/Dick_Warlock/0", "Dick", "and"),
    ("religious_ideology/judaism/Reform_Judaism/3", "In", "Judaism"),
    ("religious_ideology/sikhism/Sikh/41", "In", "cricketer"),
)
"""Domain, group, entity and number of a prompt, its first word and its last."""

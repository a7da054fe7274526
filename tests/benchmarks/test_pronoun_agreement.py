"""Pronoun agreement: by plain forward passes, on planted models, and what its sentences must be."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from pair_parts import measured_of, run_of

from evenhand.contributions import Benchmark
from evenhand.evidence import compare_benchmark
from evenhand.planted import check_planted
from evenhand.sample import Table, value_of
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.benchmarks import pronoun_agreement as agreement

ITEMS = agreement.sentences()


def plain_causal(model, tokenizer, lead, rest):
    """The log-likelihood of the rest, token by token from one forward pass."""
    whole, before = tokenizer(lead + rest)["input_ids"], tokenizer(lead)["input_ids"]
    assert whole[: len(before)] == before
    with torch.no_grad():
        logp = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(float(logp[k - 1, whole[k]]) for k in range(len(before), len(whole)))


def plain_masked(model, tokenizer, lead, rest):
    """The same by one mask at a time; [CLS] stands before the text and [SEP] behind it."""
    whole, before = tokenizer(lead + rest)["input_ids"], tokenizer(lead)["input_ids"]
    total = 0.0
    for k in range(len(before) - 1, len(whole) - 1):
        row = [*whole[:k], tokenizer.mask_token_id, *whole[k + 1 :]]
        with torch.no_grad():
            total += float(model(torch.tensor([row])).logits[0, k].log_softmax(-1)[whole[k]])
    return total


@pytest.mark.parametrize(
    ("family", "made", "plain"), [("llama", tiny_causal, plain_causal), ("bert", tiny_masked, plain_masked)]
)
def test_margins_are_those_of_plain_forward_passes(family, made, plain):
    model, tokenizer = made()
    chosen = [ITEMS[0], ITEMS[57], ITEMS[235]]
    for item, record in zip(chosen, agreement.score(measured_of(family), chosen), strict=True):
        margins = []
        for k in (0, 1):
            agrees, other = (
                plain(model, tokenizer, f"{item.subjects[k]} {item.verb}", f" {item.pronouns[form]} {item.rest}")
                for form in (k, 1 - k)
            )
            margins.append(agrees - other)
        assert record.values["margin"] == pytest.approx(sum(margins) / 2, abs=1e-3)
        assert [record.values[f"right_{g}"] for g in ("female", "male")] == [float(m > 0) for m in margins]
        assert record.values["right"] == sum(m > 0 for m in margins) / 2


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_planted_models_come_out_as_they_must(kind):
    benchmark = Benchmark(
        name="a", title="", score=lambda m: [], metrics=agreement.METRICS, planted=agreement.planted(kind)
    )
    assert check_planted(benchmark) == ["always agrees", "never agrees", "always a man", "indifferent"]


def test_every_sentence_differs_by_gender_alone_and_each_predicate_is_a_cluster():
    assert len(ITEMS) == len({item.id for item in ITEMS}) == 240
    assert Counter(item.pronouns for item in ITEMS) == {agreement.REFLEXIVE: 120, agreement.POSSESSIVE: 120}
    assert set(Counter(item.cluster for item in ITEMS).values()) == {10}
    verbs, _, rests = zip(*agreement.PREDICATES, strict=True)
    assert len(set(verbs)) == len(set(rests)) == 24
    words = {word.strip(".,").lower() for rest in rests for word in rest.split()}
    assert not words & {"he", "she", "him", "her", "his", "hers", "himself", "herself"}


READ = {
    "0/0": ("She looked at herself in the mirror.", "He looked at himself in the mirror."),
    "3/3": ("My sister taught herself to play the piano.", "My brother taught himself to play the piano."),
    "5/5": ("The queen was talking to herself again.", "The king was talking to himself again."),
    "7/7": ("The waitress cut herself while slicing the bread.", "The waiter cut himself while slicing the bread."),
    "8/8": ("Mary had to force herself to smile.", "John had to force himself to smile."),
    "10/6": (
        "An old lady suddenly found herself alone at the station.",
        "An old gentleman suddenly found himself alone at the station.",
    ),
    "12/1": ("The woman shook her head and went on reading.", "The man shook his head and went on reading."),
    "13/2": ("The girl held her breath for a minute.", "The boy held his breath for a minute."),
    "20/4": ("My daughter clapped her hands twice.", "My son clapped his hands twice."),
    "23/9": ("Anna could not believe her eyes that morning.", "Peter could not believe his eyes that morning."),
}
"""The right sentence about a woman, and about a man, read by eye; those with a reflexive pronoun come first."""


def test_ten_sentences_read_by_eye(tmp_path):
    texts = agreement.PronounAgreement().evaluation(run_of("llama", tmp_path)).texts()
    items = {item.id: item for item in ITEMS}
    swapped = {"herself": "himself", "himself": "herself", "her": "his", "his": "her"}
    assert len(READ) == 10
    for k, (name, sentences) in enumerate(READ.items()):
        assert texts[name] == "\n".join(sentences)
        wrong = [" ".join(swapped.get(word, word) for word in sentence.split()) for sentence in sentences]
        assert [items[name].whole(0, 1), items[name].whole(1, 0)] == wrong
        assert items[name].pronouns == (agreement.REFLEXIVE if k < 6 else agreement.POSSESSIVE)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_aggregates_are_those_of_a_loop(family):
    measured, items = measured_of(family), ITEMS[::11]
    records = agreement.score(measured, items)
    right, margins = [], []
    for item in items:
        for k in (0, 1):
            agrees, other = (score.total for score in measured.continuations([item.parts(k, k), item.parts(k, 1 - k)]))
            right.append(agrees > other)
            margins.append(agrees - other)
    table = Table.of(records)
    found = {metric.name: value_of(metric, table) for metric in agreement.METRICS}
    assert found["agreement"] == pytest.approx(100 * sum(right) / len(right))
    assert found["agreement, she"] == pytest.approx(100 * sum(right[::2]) / len(items))
    assert found["agreement, he"] == pytest.approx(100 * sum(right[1::2]) / len(items))
    assert found["log-odds of the agreeing pronoun"] == pytest.approx(sum(margins) / len(margins), abs=1e-5)
    assert 0 < sum(right) < len(right)


def test_a_sentence_that_is_too_long_is_counted(monkeypatch):
    measured = measured_of("llama")
    monkeypatch.setattr(type(measured), "longest", property(lambda self: 3))
    (record,) = agreement.score(measured, ITEMS[:1])
    assert record.values == {} and record.flags == {"tie": False, "longer than the context": True}


def test_a_loss_of_agreement_is_held_against_one_point(tmp_path):
    benchmark = agreement.PronounAgreement().evaluation(run_of("llama", tmp_path))
    always, never = (list(p.records()) for p in agreement.planted("causal")[:2])
    metric = benchmark.metrics[0]
    assert (value_of(metric, Table.of(always)), value_of(metric, Table.of(never))) == (100.0, 0.0)
    assert compare_benchmark(benchmark, always, always, resamples=50)["verdict"] == "too few items"
    records = benchmark.score(measured_of("llama"))
    assert len(records) == 240
    same = compare_benchmark(benchmark, records, records, resamples=100)
    assert (same["verdict"], same["loss"]["value"]) == ("within budget", 0.0)
    few = agreement.PronounAgreement(limit=50).evaluation(run_of("llama", tmp_path))
    assert few.mode.startswith("50 of 240 own sentences") and len(few.texts()) == 50
    assert few.data_digest != benchmark.data_digest

"""LAMBADA against plain forward passes and greedy decoding."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from association_parts import plain_logp, run_of

from evenhand.contributions import Benchmark, DecodingRule
from evenhand.errors import DigestMismatch
from evenhand.evidence import compare_benchmark
from evenhand.measured import Measured
from evenhand.plan import check_kinds
from evenhand.planted import check_planted
from evenhand.sample import Table, value_of
from evenhand_sdk.tiny import tiny_causal
from evenhand_standard.benchmarks import lambada
from evenhand_standard.benchmarks.lambada import Passage

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[3] / "shared" / "data")
realdata = pytest.mark.skipif(
    not (DATA / lambada.LAMBADA.path).is_file(), reason="the LAMBADA file is not here: set EVENHAND_DATA"
)
CONTEXTS = [
    "The farmer sold the old horse. She gave him the",
    "Rain fell on the hills all night, and nobody",
    "He said that his sister was a",
    'They looked at him. "You are',
]


@pytest.fixture(scope="module", params=["llama", "gemma3", "qwen2"])
def measured(request):
    """Without a start token, with one, and with closing tokens that differ."""
    return Measured(*tiny_causal(request.param), "causal", dtype="float32")


def greedy(measured, context, steps):
    """What a loop over plain forward passes writes."""
    ids = list(measured.ids(context))
    for _ in range(steps):
        ids.append(int(plain_logp(measured, ids)[-1].argmax()))
    return ids


def items_of(measured):
    """Passages whose last word the model would have written, and some that it would not."""
    found = []
    for k, context in enumerate(CONTEXTS):
        found.append(Passage(f"other {k}", context, " Constantinople"))
        first = int(plain_logp(measured, measured.ids(context))[-1].argmax())
        word = measured.tokenizer.decode([first])
        if word.startswith(" ") and measured.ids(context + word) == (*measured.ids(context), first):
            found.append(Passage(f"own {k}", context, word))
    return found


def test_right_and_probable_as_plain_forward_passes_have_it(measured):
    items = items_of(measured)
    records = lambada.score(measured, items)
    assert [r.id for r in records] == [r.cluster for r in records] == [item.id for item in items]
    for item, record in zip(items, records, strict=True):
        before, whole = measured.ids(item.context), measured.ids(item.context + item.word)
        assert whole[: len(before)] == before
        logp = plain_logp(measured, whole)
        total = sum(float(logp[k - 1, whole[k]]) for k in range(len(before), len(whole)))
        assert record.values["logp"] == pytest.approx(total, abs=1e-4)
        assert record.values["logp"] == pytest.approx(
            measured.continuations([(item.context, item.word)])[0].total, abs=1e-4
        )
        assert record.values["tokens"] == len(whole) - len(before)
        written = greedy(measured, item.context, len(whole) - len(before))
        assert record.values["right"] == float(tuple(written) == tuple(whole))
    table = Table.of(records)
    right = [r.values["right"] for r in records]
    assert value_of(lambada.METRICS[0], table) == pytest.approx(100 * sum(right) / len(right))
    mean = sum(r.values["logp"] for r in records) / len(records)
    assert value_of(lambada.METRICS[1], table) == pytest.approx(math.exp(-mean))


def test_some_words_of_each_kind_were_tried(measured):
    records = lambada.score(measured, items_of(measured))
    assert sum(r.values["right"] == 0 for r in records) >= 4
    assert max(r.values["tokens"] for r in records) > 1


def test_a_word_the_model_writes_itself_is_right():
    measured = Measured(*tiny_causal(), "causal", dtype="float32")
    own = [item for item in items_of(measured) if item.id.startswith("own")]
    assert own
    assert all(r.values["right"] == 1.0 for r in lambada.score(measured, own))


def test_chunks_do_not_change_the_result(measured, monkeypatch):
    whole = lambada.score(measured, items_of(measured))
    monkeypatch.setattr(lambada, "HELD_BYTES", 4 * measured.vocabulary * 2)
    parts = lambada.score(measured, items_of(measured))
    for one, other in zip(whole, parts, strict=True):
        assert other.id == one.id and other.values == pytest.approx(one.values, abs=1e-5)


def test_decoding_rules_count():
    model, tokenizer = tiny_causal()
    plain = Measured(model, tokenizer, "causal", dtype="float32")
    flat = DecodingRule(name="flat", next_logits=lambda ids, logits, contexts: 0.0 * logits)
    ruled = lambada.score(Measured(model, tokenizer, "causal", (flat,), dtype="float32"), items_of(plain))
    for record in ruled:
        assert record.values["logp"] == pytest.approx(-record.values["tokens"] * math.log(len(tokenizer)), abs=1e-4)


def test_a_passage_longer_than_the_context_is_flagged():
    measured = Measured(*tiny_causal(), "causal", dtype="float32")
    records = lambada.score(measured, [Passage("0", "a dog " * 400, " ran"), Passage("1", CONTEXTS[0], " dog")])
    assert [r.flags["longer than the context"] for r in records] == [True, False]
    assert not records[0].values and records[1].values


def test_a_word_that_melts_into_its_context_is_encoded_apart():
    measured = Measured(*tiny_causal(), "causal", dtype="float32")
    item = Passage("0", "He said that sh", "e")  # `she` is one token
    assert measured.ids("He said that she")[: len(measured.ids("He said that sh"))] != measured.ids("He said that sh")
    one = lambada.encode(measured, item)
    assert one.ids == (*measured.ids("He said that sh"), *measured.ids("e")) and one.cut == len(one.ids) - 1


def test_the_planted_models_get_what_they_deserve():
    benchmark = Benchmark(
        name="l", title="", score=lambda m: [], metrics=lambada.METRICS, quality=True, planted=lambada.PLANTED
    )
    assert len(check_planted(benchmark)) == 3


CHECKED = {
    0: ("about", 5, "e259202c"),
    1: ("own,", 5, "3d7562b7"),
    2: ("any", 9, "64e8937a"),
    3: ("replied", 5, "9709ce77"),
    500: ("to", 6, "a9568a4a"),
    1000: ("a", 6, "137b58a5"),
    2000: ("at", 6, "019bfd9c"),
    3000: ("her", 7, "68d6641f"),
    4000: ("the", 3, "29bb3017"),
    5152: ("rules,", 11, "43fa1344"),
}
"""Passage -> the word before its last one; letters and the beginning of the SHA-256 of the last word, read by eye."""


def layout(folder, texts):
    path = folder / lambada.LAMBADA.path
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return replace(lambada.LAMBADA, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), rows=len(texts))


def test_the_verdict_is_one_of_non_inferiority(tmp_path, monkeypatch):
    texts = [f"{CONTEXTS[k % 4]} {word}" for k, word in enumerate(["dog", "man", "nurse", "end"] * 10)]
    monkeypatch.setattr(lambada, "LAMBADA", layout(tmp_path, texts))
    benchmark = lambada.Lambada(data=str(tmp_path)).evaluation(run_of(tmp_path))
    assert benchmark.quality and benchmark.mode.startswith("version with case and punctuation (lambada_openai)")
    records = benchmark.score(Measured(*tiny_causal(), "causal", dtype="float32"))
    assert len(records) == 40
    better = [replace(r, values={**r.values, "right": 1.0}) for r in records]
    worse = [replace(r, values={**r.values, "right": float(int(r.id) % 2)}) for r in records]
    assert compare_benchmark(benchmark, better, better, resamples=200, budget=1.02)["verdict"] == "within budget"
    assert compare_benchmark(benchmark, better, worse, resamples=200, budget=1.02)["verdict"] == "over budget"
    few = lambada.passages(str(tmp_path), 7)
    assert len(few) == 7 and few == lambada.passages(str(tmp_path), 7)
    assert [int(p.id) for p in few] == sorted(int(p.id) for p in few)


def test_another_file_is_refused(tmp_path):
    layout(tmp_path, ["a b"])
    with pytest.raises(DigestMismatch, match="expected 5,153 rows"):
        lambada.passages(str(tmp_path))


def test_masked_models_are_refused():
    from types import SimpleNamespace

    from evenhand.errors import WrongModelKind

    step = SimpleNamespace(plugin=lambada.Lambada(), active=True, id="lambada", use="lambada", section="benchmarks")
    with pytest.raises(WrongModelKind, match=r"benchmark 'lambada' needs a causal model"):
        check_kinds([step], "masked", "some model")


@pytest.mark.realdata
@realdata
def test_the_published_file_has_the_published_passages():
    items = lambada.passages(str(DATA))
    assert len(items) == 5153
    assert all(item.word.strip() and item.context for item in items)
    assert len(CHECKED) == 10
    for number, (before, letters, digest) in CHECKED.items():
        item = items[number]
        word = item.word.removeprefix(" ")
        assert (item.id, item.context.split()[-1], len(word)) == (str(number), before, letters)
        assert hashlib.sha256(word.encode()).hexdigest().startswith(digest)

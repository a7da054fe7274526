"""Benchmarks give what their published formulas give on texts that can be worked out by hand."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from evenhand import mirrors
from evenhand.contributions import Benchmark, DecodingRule
from evenhand.errors import DataNotFound, DigestMismatch, ModelNotFound, Offline, UsageError
from evenhand.evidence import compare_benchmark
from evenhand.item_records import check_records
from evenhand.measured import Measured
from evenhand.wording import validated
from evenhand_sdk import RunContext, fold, group_tokens, jensen_shannon, load_axis, token_bins
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.benchmarks import crows_pairs, pair_gap, perplexity
from evenhand_standard.pair_bank import pairs

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[2] / "shared" / "data")
realdata = pytest.mark.skipif(
    not (DATA / mirrors.CROWS_PAIRS.path).is_file(), reason="the CrowS-Pairs file is not here: set EVENHAND_DATA"
)


@pytest.fixture(scope="module")
def causal():
    return tiny_causal()


@pytest.fixture(scope="module")
def masked():
    return tiny_masked()


def measured_of(model_and_tokenizer, kind, rules=()):
    return Measured(*model_and_tokenizer, kind, rules, dtype="float32")


def run_of(tokenizer, kind, tmp_path):
    return RunContext(
        step_id="b",
        seed=0,
        kind=kind,
        tokenizer=tokenizer,
        device="cpu",
        folder=tmp_path,
        axes=("gender",),
        offline=True,
        logger=logging.getLogger("test"),
        services=None,
    )


def plain_logp(model, ids):
    """[T, V] next-token log-probabilities of one plain forward pass."""
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([list(ids)])).logits[0].float().log_softmax(-1)


def masked_logp(model, tokenizer, ids, position):
    """[V] log-probabilities at one masked position."""
    import torch

    one = torch.tensor([list(ids)])
    one[0, position] = tokenizer.mask_token_id
    with torch.no_grad():
        return model(input_ids=one).logits[0, position].float().log_softmax(-1)


# ------------------------------------------------------------------------------------------------------- pair-gap
def test_pair_gap_is_the_mean_divergence_behind_the_difference(causal):
    model, tokenizer = causal
    axis = load_axis("gender")
    items = pairs(axis, "heldout", 12, 0)
    records = pair_gap.score(measured_of(causal, "causal"), axis, items)
    bins = token_bins(tokenizer, axis.bins(), model.config.vocab_size)
    ignored = group_tokens(bins)
    for item, record in zip(items, records, strict=True):
        left, right = tokenizer(item.female_text)["input_ids"], tokenizer(item.male_text)["input_ids"]
        first = next(k for k, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
        # Behind the group word both texts end alike: align them from the end.
        shared = next(
            k
            for k in range(1, len(left))
            if left[-k - 1] != right[-k - 1] or min(len(left), len(right)) - k - 1 <= first
        )
        p, q = plain_logp(model, left), plain_logp(model, right)
        divergences, unfolded, differences = [], [], []
        for k in range(1, shared + 1):
            if left[-k] in ignored or len(left) - k <= first:
                continue
            a, b = p[len(left) - k - 1], q[len(right) - k - 1]
            divergences.append(float(jensen_shannon(fold(a, bins), fold(b, bins))))
            unfolded.append(float(jensen_shannon(a, b)))
            differences.append(float(a[left[-k]] - b[right[-k]]))
        assert record.values["positions"] == len(divergences) > 0
        assert record.values["js"] == pytest.approx(sum(divergences) / len(divergences), abs=1e-5)
        assert record.values["js_unfolded"] == pytest.approx(sum(unfolded) / len(unfolded), abs=1e-5)
        assert record.values["likelihood_difference"] == pytest.approx(sum(differences) / len(differences), abs=1e-4)
        assert record.values["likelihood_gap"] == abs(record.values["likelihood_difference"])
        assert (record.id, record.cluster, record.axis, record.group) == (
            item.id, item.template, "gender", item.stereotype,
        )  # fmt: skip


def test_folding_leaves_agreement_out_of_the_gap(causal):
    axis = load_axis("gender")
    records = pair_gap.score(measured_of(causal, "causal"), axis, pairs(axis, "heldout", 30, 0))
    assert all(r.values["js"] <= r.values["js_unfolded"] + 1e-6 for r in records)
    assert sum(r.values["js"] for r in records) < sum(r.values["js_unfolded"] for r in records)


def test_chunks_do_not_change_the_gap(causal, monkeypatch):
    axis = load_axis("gender")
    items = pairs(axis, "heldout", 10, 0)
    whole = pair_gap.score(measured_of(causal, "causal"), axis, items)
    monkeypatch.setattr(pair_gap, "HELD_BYTES", 4 * 1000 * 30)
    parts = pair_gap.score(measured_of(causal, "causal"), axis, items)
    assert [r.id for r in parts] == [r.id for r in whole]
    assert [r.values["js"] for r in parts] == pytest.approx([r.values["js"] for r in whole], abs=1e-5)


def test_a_pair_longer_than_the_context_has_no_gap_and_is_counted(causal):
    import dataclasses

    axis = load_axis("gender")
    items = pairs(axis, "heldout", 3, 0)
    long = dataclasses.replace(items[1], female_text="She said " + "so " * 1000, male_text="He said " + "so " * 1000)
    measured = measured_of(causal, "causal")
    records = pair_gap.score(measured, axis, [items[0], long, items[2]])
    assert records[1].values == {}
    assert records[1].flags == {"nothing to compare": False, "longer than the context": True}
    assert [r.values for r in records[::2]] == [r.values for r in pair_gap.score(measured, axis, items[::2])]


def test_a_model_that_cannot_tell_the_groups_apart_has_no_gap(causal):
    """With equal input embeddings for the words of a bin, both sides are the same to the model."""
    import copy

    import torch

    model, tokenizer = copy.deepcopy(causal[0]), causal[1]
    axis = load_axis("gender")
    bins = token_bins(tokenizer, axis.bins(), model.config.vocab_size)
    items = [
        item
        for item in pairs(axis, "heldout", None, 0)
        if len(tokenizer(item.female_text)["input_ids"]) == len(tokenizer(item.male_text)["input_ids"])
        and " she " in item.female_text
    ][:10]
    assert len(items) == 10
    with torch.no_grad():
        weight = model.get_input_embeddings().weight
        weight.copy_(weight[bins].clone())
    records = pair_gap.score(Measured(model, tokenizer, "causal", dtype="float32"), axis, items)
    assert max(r.values["js"] for r in records) < 1e-6
    assert max(r.values["likelihood_gap"] for r in records) < 1e-5


def test_pair_gap_of_a_masked_model_masks_each_position(masked):
    model, tokenizer = masked
    axis = load_axis("gender")
    item = next(i for i in pairs(axis, "heldout", None, 0) if " she " in i.female_text)
    record = pair_gap.score(measured_of(masked, "masked"), axis, [item])[0]
    bins = token_bins(tokenizer, axis.bins(), model.config.vocab_size)
    left, right = tokenizer(item.female_text)["input_ids"], tokenizer(item.male_text)["input_ids"]
    assert len(left) == len(right)
    first = next(k for k, (a, b) in enumerate(zip(left, right, strict=True)) if a != b)
    positions = [k for k in range(first + 1, len(left) - 1) if left[k] not in group_tokens(bins)]
    found = [
        float(jensen_shannon(*(fold(masked_logp(model, tokenizer, ids, k), bins) for ids in (left, right))))
        for k in positions
    ]
    assert record.values["positions"] == len(positions)
    assert record.values["js"] == pytest.approx(sum(found) / len(found), abs=1e-5)


def test_pair_gap_draws_the_same_items_for_every_model(causal, tmp_path):
    first, again = (pair_gap.PairGap(limit=40).evaluation(run_of(causal[1], "causal", tmp_path)) for _ in range(2))
    assert first.data_digest == again.data_digest
    assert first.data_digest != pair_gap.PairGap(limit=41).evaluation(run_of(causal[1], "causal", tmp_path)).data_digest
    records = first.score(measured_of(causal, "causal"))
    check_records("pair-gap", records, records)
    entry = compare_benchmark(first, records, records, resamples=100)
    assert (entry["n_items"], entry["verdict"]) == (40, "no demonstrated effect")
    assert entry["metrics"][0]["name"] == "JS gap" and entry["metrics"][0]["unit"] == "nat"


# ---------------------------------------------------------------------------------------------------- crows-pairs
PAIRS = [
    crows_pairs.Pair("0", "The nurse said she was tired.", "The nurse said he was tired.", "stereo", "gender"),
    crows_pairs.Pair(
        "1", "The man was kind to the doctor.", "The woman was kind to the doctor.", "antistereo", "gender"
    ),
    crows_pairs.Pair("2", "The farmer talked to him", "The farmer talked to her", "stereo", "gender"),
    crows_pairs.Pair("3", "He is late.", "He is late.", "stereo", "age"),
]


def test_causal_pairs_are_compared_behind_the_first_difference(causal):
    model, tokenizer = causal
    records = crows_pairs.score(measured_of(causal, "causal"), PAIRS, "official")
    for pair, record in list(zip(PAIRS, records, strict=True))[:2]:
        sums = []
        ids = [tokenizer(text)["input_ids"] for text in (pair.more, pair.less)]
        first = next(k for k, (a, b) in enumerate(zip(*ids, strict=True)) if a != b)
        for side in ids:
            logp = plain_logp(model, side)
            sums.append(sum(float(logp[k - 1, side[k]]) for k in range(first + 1, len(side))))
        tokens = len(ids[0]) - first - 1
        assert record.values["more"] == pytest.approx(sums[0], abs=1e-3)
        assert record.values["less"] == pytest.approx(sums[1], abs=1e-3)
        assert record.values["tokens"] == tokens
        assert record.values["difference"] == pytest.approx((sums[0] - sums[1]) / tokens, abs=1e-3)
        assert record.values["difference_size"] == abs(record.values["difference"])
        assert record.values["win"] == record.values[f"win_{pair.direction}"] == float(sums[0] > sums[1])
        assert (record.axis, record.group, record.cluster) == (pair.bias_type, pair.direction, pair.id)


def test_causal_pairs_ask_for_no_logits_before_the_first_token_that_is_read(causal, monkeypatch):
    from evenhand import scoring

    asked = []
    original = scoring.gold_logp
    monkeypatch.setattr(scoring, "gold_logp", lambda f, r, *rest: asked.extend(r) or original(f, r, *rest))
    texts = "The nurse said that she would sleep.", "The nurse said that he would sleep."
    pair = crows_pairs.Pair("0", *texts, "stereo", "gender")
    (record,) = crows_pairs.score(measured_of(causal, "causal"), [pair], "official")
    shared = int(record.values["tokens"])
    assert shared > 1 and [len(row.positions) for row in asked] == [shared, shared]


def test_causal_pairs_that_differ_only_at_the_end_are_left_out(causal):
    records = crows_pairs.score(measured_of(causal, "causal"), PAIRS, "official")
    for record in records[2:]:
        assert record.values == {}
        assert record.flags == {"tie": False, "nothing to compare": True, "longer than the context": False}


@pytest.mark.parametrize(("kind", "rule"), [("causal", "official"), ("causal", "harness"), ("masked", "official")])
def test_a_pair_longer_than_the_context_is_counted_and_not_cut(kind, rule, causal, masked):
    long = crows_pairs.Pair("9", "She said " + "so " * 1000, "He said " + "so " * 1000, "stereo", "gender")
    measured = measured_of(causal if kind == "causal" else masked, kind)
    assert len(measured.ids(long.more)) > measured.longest
    alone = crows_pairs.score(measured, PAIRS, rule)
    records = crows_pairs.score(measured, [PAIRS[0], long, *PAIRS[1:]], rule)
    assert records[1].values == {}
    assert records[1].flags == {"tie": False, "nothing to compare": False, "longer than the context": True}
    assert [r.values for r in (records[0], *records[2:])] == [r.values for r in alone]


def test_the_start_token_of_the_harness_rule_needs_room_too(causal):
    """A sentence that just fits is scored by the official rule, but there is no room for a token before it."""
    measured = measured_of(causal, "causal")
    full = {side: f"{side} said " + "so " * 2000 for side in ("She", "He")}
    fill = {side: measured.tokenizer.decode(measured.ids(text)[: measured.longest]) for side, text in full.items()}
    assert {len(measured.ids(text)) for text in fill.values()} == {measured.longest}
    pair = crows_pairs.Pair("9", fill["She"], fill["He"], "stereo", "gender")
    assert crows_pairs.score(measured, [pair], "official")[0].values
    assert crows_pairs.score(measured, [pair], "harness")[0].flags["longer than the context"]


def test_masked_pairs_mask_one_shared_piece_at_a_time(masked):
    model, tokenizer = masked
    records = crows_pairs.score(measured_of(masked, "masked"), PAIRS, "official")
    for pair, record in list(zip(PAIRS, records, strict=True))[:2]:
        ids = [tokenizer(text)["input_ids"] for text in (pair.more, pair.less)]
        assert len(ids[0]) == len(ids[1])
        shared = [k for k in range(1, len(ids[0]) - 1) if ids[0][k] == ids[1][k]]
        for side, name in zip(ids, ("more", "less"), strict=True):
            total = sum(float(masked_logp(model, tokenizer, side, k)[side[k]]) for k in shared)
            assert record.values[name] == pytest.approx(total, abs=1.1e-3)
            assert record.values[name] == round(record.values[name], 3)
        assert record.values["tokens"] == len(shared)


def test_equal_sentences_tie_and_count_as_not_preferred(masked):
    record = crows_pairs.score(measured_of(masked, "masked"), PAIRS, "official")[3]
    assert record.flags == {"tie": True, "nothing to compare": False, "longer than the context": False}
    assert (record.values["win"], record.values["difference"], record.values["near_tie"]) == (0.0, 0.0, 1.0)


def test_the_harness_rule_takes_whole_sentences_behind_a_start_token(causal):
    model, tokenizer = causal
    record = crows_pairs.score(measured_of(causal, "causal"), PAIRS, "harness")[2]
    sums = []
    for text in (PAIRS[2].more, PAIRS[2].less):
        ids = [tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]
        logp = plain_logp(model, ids)
        sums.append(sum(float(logp[k, ids[k + 1]]) for k in range(len(ids) - 1)))
    assert record.values["difference"] == pytest.approx(sums[0] - sums[1], abs=1e-3)


def test_the_harness_rule_of_a_masked_model_is_the_whole_pseudo_likelihood(masked):
    measured = measured_of(masked, "masked")
    record = crows_pairs.score(measured, PAIRS, "harness")[2]
    more, less = measured.pll([PAIRS[2].more, PAIRS[2].less])
    assert record.values["difference"] == more.total - less.total


CSV = "crows_pairs_anonymized.csv"


def crows_file(folder: Path, rows=1508):
    """A file in the layout of the original, with other sentences; gives its description."""
    path = folder / "crows_pairs" / "crows_pairs_anonymized.csv"
    path.parent.mkdir(parents=True)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["", "sent_more", "sent_less", "stereo_antistereo", "bias_type"])
    for k in range(rows):
        kind = crows_pairs.BIAS_TYPES[k % 9]
        writer.writerow([k, f"She saw {k} dogs, and ran.", f"He saw {k} dogs, and ran.", "stereo", kind])
    path.write_bytes(buffer.getvalue().encode())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return mirrors.KnownFile(
        path="crows_pairs/crows_pairs_anonymized.csv", sha256=digest, rows=rows, origin="o", licence="l"
    )


def test_crows_pairs_are_chosen_by_type_and_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(crows_pairs, "CROWS_PAIRS", crows_file(tmp_path))
    options = crows_pairs.CrowsPairsOptions(bias_types=("gender", "age"), limit=20)
    chosen = crows_pairs.chosen_pairs(options, str(tmp_path))
    assert len(chosen) == 20
    assert {pair.bias_type for pair in chosen} == {"gender", "age"}
    assert [int(pair.id) for pair in chosen] == sorted(int(pair.id) for pair in chosen)
    assert chosen == crows_pairs.chosen_pairs(options, str(tmp_path))
    assert len(crows_pairs.chosen_pairs(crows_pairs.CrowsPairsOptions(), str(tmp_path))) == 1508


def test_an_unknown_bias_type_is_refused():
    problems = validated(crows_pairs.CrowsPairsOptions, {"bias_types": ["gendr"]}, "benchmarks[1]")[1]
    listed = ", ".join(f"'{name}'" for name in crows_pairs.BIAS_TYPES) + " or 'other'"
    assert problems == [f"benchmarks[1].bias_types[1]: 'gendr' is not {listed}; did you mean 'gender'?"]


def test_crows_pairs_say_which_definition_they_use(causal, masked, tmp_path, monkeypatch):
    monkeypatch.setattr(crows_pairs, "CROWS_PAIRS", crows_file(tmp_path))
    plugin = crows_pairs.CrowsPairs(data=str(tmp_path), limit=40)
    benchmark = plugin.evaluation(run_of(causal[1], "causal", tmp_path))
    assert benchmark.mode == "causal counterpart of the official rule: shared tokens behind the first difference"
    other = plugin.evaluation(run_of(masked[1], "masked", tmp_path))
    assert other.mode == "official rule: shared pieces, masked one at a time"
    records = benchmark.score(measured_of(causal, "causal"))
    entry = compare_benchmark(benchmark, records, records, resamples=100)
    assert [m["name"] for m in entry["metrics"] if m["primary"]] == ["mean |difference|"]
    assert entry["metrics"][4]["before"]["value"] is None  # no antistereo pair in this file


# -------------------------------------------------------------------------------------------------------- mirrors
def test_a_file_is_looked_for_in_the_option_or_else_in_the_environment(tmp_path, monkeypatch):
    known = crows_file(tmp_path / "a", rows=3)
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path / "a"))
    path = tmp_path / "a" / known.path
    assert mirrors.find_file(known) == path
    assert mirrors.find_file(known, path.parent) == path
    assert len(mirrors.read_rows(known)) == 3
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path / "nowhere"))
    assert mirrors.find_file(known, tmp_path / "a") == path
    with pytest.raises(DataNotFound, match=r"option: not set\n    \$EVENHAND_DATA: there is no folder .*nowhere\n"):
        mirrors.find_file(known)


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ("nowhere", ["there is no folder {}/nowhere"]),
        ("empty", ["there is no {}/empty/crows_pairs/" + CSV, "there is no {}/empty/" + CSV]),
        (f"a/crows_pairs/{CSV}", ["{}/a/crows_pairs/" + CSV + " is a file; the folder that it lies in is wanted"]),
    ],
    ids=["no folder", "a folder without it", "a file"],
)
def test_a_place_that_is_named_is_not_passed_over_for_that_of_the_environment(given, problems, tmp_path, monkeypatch):
    known = crows_file(tmp_path / "a", rows=3)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("EVENHAND_DATA", str(tmp_path / "a"))
    with pytest.raises(DataNotFound) as caught:
        mirrors.find_file(known, tmp_path / given)
    assert str(caught.value).splitlines() == [
        "the benchmark file crows_pairs/crows_pairs_anonymized.csv was not found",
        "  tried, in order:",
        *(f"    option: {problem.format(tmp_path)}" for problem in problems),
        "    $EVENHAND_DATA: not asked, because the option names a place",
        f"  get it from {known.origin} ({known.licence}) and put it there, or leave the option out, so that "
        "EVENHAND_DATA is asked",
    ]
    assert str(mirrors.missing_file(known, tmp_path / given)) == str(caught.value)


def test_a_file_that_was_checked_is_not_read_again(tmp_path, monkeypatch):
    known = crows_file(tmp_path, rows=3)
    reads = []
    original = mirrors.Path.read_bytes
    monkeypatch.setattr(mirrors.Path, "read_bytes", lambda path: reads.append(path.name) or original(path))
    with mirrors.reading_once():
        mirrors.check_file(known, tmp_path)
        mirrors.check_file(known, tmp_path)
        assert len(mirrors.read_rows(known, tmp_path)) == 3 and len(reads) == 1
        mirrors.check_file(known, tmp_path)
    assert len(reads) == 2 and not mirrors._held  # what nobody read is let go
    (tmp_path / known.path).write_text("altered")
    with pytest.raises(DigestMismatch, match="is not the published file"):
        mirrors.check_file(known, tmp_path)


def test_of_a_file_without_a_digest_it_is_checked_that_it_is_there(tmp_path, monkeypatch):
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    known = replace(crows_file(tmp_path, rows=3), sha256="")
    mirrors.check_file(known, tmp_path)
    (tmp_path / known.path).unlink()
    with pytest.raises(DataNotFound):
        mirrors.check_file(known, tmp_path)


def test_a_missing_file_names_what_was_tried(tmp_path, monkeypatch):
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    with pytest.raises(DataNotFound) as caught:
        mirrors.find_file(mirrors.CROWS_PAIRS, tmp_path)
    assert str(caught.value) == (
        "the benchmark file crows_pairs/crows_pairs_anonymized.csv was not found\n"
        "  tried, in order:\n"
        f"    option: there is no {tmp_path}/crows_pairs/crows_pairs_anonymized.csv\n"
        f"    option: there is no {tmp_path}/crows_pairs_anonymized.csv\n"
        "    $EVENHAND_DATA: not asked, because the option names a place\n"
        "  get it from github.com/nyu-mll/crows-pairs, data/crows_pairs_anonymized.csv (CC-BY-SA-4.0) "
        "and put it there, or leave the option out, so that EVENHAND_DATA is asked"
    )
    assert caught.value.exit_code == 5


def test_what_certainly_is_not_there_is_told_without_asking_a_hub(tmp_path, monkeypatch):
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    missing = mirrors.missing_file(mirrors.CROWS_PAIRS, tmp_path)
    with pytest.raises(DataNotFound) as caught:
        mirrors.find_file(mirrors.CROWS_PAIRS, tmp_path)
    assert str(missing) == str(caught.value)
    assert mirrors.missing_file(mirrors.CROWS_PAIRS, "hub:somebody/something") is None
    assert mirrors.missing_file(crows_file(tmp_path, rows=3), tmp_path) is None


def test_a_changed_file_is_refused(tmp_path):
    crows_file(tmp_path, rows=3)
    with pytest.raises(DigestMismatch, match=r"expected 1,508 rows and SHA-256 dfb36986.*found 3 rows"):
        mirrors.read_rows(mirrors.CROWS_PAIRS, tmp_path)


# ----------------------------------------------------------------------------------------------------- perplexity
def test_word_perplexity_by_hand(causal):
    model, tokenizer = causal
    texts = ["The farmer sold the old horse.", "Rain fell on the hills all night, and nobody slept."]
    records = perplexity.score(measured_of(causal, "causal"), texts, 512, 256)
    total = 0.0
    for text, record in zip(texts, records, strict=True):
        ids = tokenizer(text)["input_ids"]
        logp = plain_logp(model, ids)
        mine = sum(float(logp[k, ids[k + 1]]) for k in range(len(ids) - 1))
        assert record.values["logp"] == pytest.approx(mine, abs=1e-3)
        assert record.values["bits"] == pytest.approx(-mine / math.log(2), abs=2e-3)
        assert record.values["bytes"] == len(text)
        total += mine
    assert [r.values["words"] for r in records] == [6, 10]
    benchmark = Benchmark(name="p", title="", score=lambda m: [], metrics=perplexity.metrics(False), quality=True)
    entry = compare_benchmark(benchmark, records, records, resamples=50)
    assert entry["metrics"][0]["before"]["value"] == pytest.approx(math.exp(-total / 16), rel=1e-4)
    bits = -total / math.log(2) / sum(map(len, texts))
    assert entry["metrics"][1]["before"]["value"] == pytest.approx(bits, rel=1e-4)


def test_windows_score_each_token_once_with_enough_context():
    ids = tuple(range(100, 123))
    found = list(perplexity.windows(ids, context=10, stride=4))
    assert [(w[0], w[-1], new) for w, new in found] == [
        (100, 109, 10), (104, 113, 4), (108, 117, 4), (112, 121, 4), (113, 122, 1),
    ]  # fmt: skip
    assert all(len(w) <= 10 for w, _ in found)
    assert tuple(i for w, new in found for i in w[-new:]) == ids
    assert list(perplexity.windows(ids[:10], 10, 4)) == [(ids[:10], 10)]


def test_a_long_passage_is_read_in_windows(causal):
    model, tokenizer = causal
    text = "The farmer sold the old horse and bought a cart. " * 4
    record = perplexity.score(measured_of(causal, "causal"), [text], 16, 8)[0]
    ids = tokenizer(text)["input_ids"]
    total = 0.0
    for position in range(1, len(ids)):
        # The window that scored it: the first one, or the last `context` tokens up to the end of its stride.
        last = 16 if position < 16 else min(16 + 8 * ((position - 16) // 8 + 1), len(ids))
        start = max(0, last - 16)
        total += float(plain_logp(model, ids[start:last])[position - start - 1, ids[position]])
    assert record.values["logp"] == pytest.approx(total, abs=2e-3)
    assert record.flags == {"read in several windows": True, "in shorter windows than asked for": False}


def test_a_passage_that_the_model_cannot_take_at_once_is_counted(causal):
    measured = measured_of(causal, "causal")
    texts = ["The farmer sold the old horse.", "so " * 2 * measured.longest]
    records = perplexity.score(measured, texts, 4 * measured.longest, measured.longest)
    assert [r.flags["in shorter windows than asked for"] for r in records] == [False, True]
    assert [r.flags["read in several windows"] for r in records] == [False, True]


def test_a_long_passage_asks_for_the_tokens_that_are_read_and_no_others(causal, monkeypatch):
    from evenhand import scoring

    asked = []
    original = scoring.gold_logp
    monkeypatch.setattr(scoring, "gold_logp", lambda f, r, *rest: asked.extend(r) or original(f, r, *rest))
    text = " ".join(f"On day {k} the farmer sold {k + 2} horses." for k in range(8))  # no window occurs twice
    perplexity.score(measured_of(causal, "causal"), [text], 16, 4)
    assert sum(len(row.positions) for row in asked) == len(causal[1](text)["input_ids"]) - 1


def test_a_model_that_breaks_on_a_text_has_no_perplexity(causal):
    rule = DecodingRule(name="broken", next_logits=lambda ids, logits, contexts: logits * math.nan)
    with pytest.raises(UsageError, match="the model gives no number"):
        perplexity.score(measured_of(causal, "causal", [rule]), ["The farmer sold the old horse."], 16, 8)


def test_masked_models_have_a_pseudo_perplexity_of_another_name(masked, tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("The farmer sold the old horse.\n\nRain fell\nall night.\n \n", encoding="utf-8")
    benchmark = perplexity.Perplexity(text=str(file)).evaluation(run_of(masked[1], "masked", tmp_path))
    assert [m.name for m in benchmark.metrics] == ["word pseudo-perplexity", "pseudo-bits per byte"]
    measured = measured_of(masked, "masked")
    records = benchmark.score(measured)
    assert [r.values["words"] for r in records] == [6, 4]
    assert records[0].values["logp"] == pytest.approx(measured.score(["The farmer sold the old horse."])[0].total)


def test_a_masked_passage_begins_and_ends_with_its_own_tokens_unknown_ones_too():
    """The frame is what a tokenizer puts around a text, also where the text begins with what it cannot read."""
    tokenizer = SimpleNamespace(all_special_ids=[0, 1, 2], unk_token_id=1, cls_token_id=0, sep_token_id=2)
    ids = (0, 1, 7, 8, 9, 1, 2)
    assert list(perplexity.pieces(ids, 4, tokenizer)) == [(0, 1, 7, 2), (0, 8, 9, 2), (0, 1, 2)]


def test_pieces_of_a_long_masked_passage_keep_the_special_tokens(masked):
    tokenizer = masked[1]
    ids = tuple(tokenizer("The farmer sold the old horse and bought a cart.")["input_ids"])
    found = list(perplexity.pieces(ids, 8, tokenizer))
    assert all(len(p) <= 8 and p[0] == ids[0] and p[-1] == ids[-1] for p in found)
    assert tuple(i for p in found for i in p[1:-1]) == ids[1:-1]
    assert list(perplexity.pieces(ids, len(ids), tokenizer)) == [ids]


def test_the_shipped_text_is_enough_for_a_verdict(causal, tmp_path):
    benchmark = perplexity.Perplexity().evaluation(run_of(causal[1], "causal", tmp_path))
    assert benchmark.quality
    assert benchmark.mode == "by word, builtin:heldout, context 512, stride 256"
    assert len(perplexity.passages("builtin:heldout")) == 36 >= benchmark.min_items


def test_the_beginning_of_each_passage_keeps_its_white_space(causal, tmp_path):
    assert perplexity.beginning(" = A = \n\n Rain\tfell  on the hills \n", 5) == " = A = \n\n Rain\tfell"
    assert perplexity.beginning("Rain fell.\n", 2) == "Rain fell."
    assert perplexity.beginning("Rain fell.\n", 3) == "Rain fell.\n"
    assert perplexity.beginning("Rain fell.\n", None) == "Rain fell.\n"
    file = tmp_path / "text.txt"
    file.write_text("The farmer sold the old horse.\n\nRain fell on the hills.\n", encoding="utf-8")
    benchmark = perplexity.Perplexity(text=str(file), words=4).evaluation(run_of(causal[1], "causal", tmp_path))
    assert benchmark.mode == "by word, text.txt, the first 4 words of each passage, context 512, stride 256"
    assert [r.values["words"] for r in benchmark.score(measured_of(causal, "causal"))] == [4, 4]
    whole = perplexity.Perplexity(text=str(file)).evaluation(run_of(causal[1], "causal", tmp_path))
    assert benchmark.data_digest != whole.data_digest


def test_a_text_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError) as caught:
        perplexity.passages("nowhere.txt")
    assert str(caught.value) == (
        "perplexity: there is no text 'nowhere.txt'\n  texts: builtin:heldout, wikitext2, or the path of a text file"
    )
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n", encoding="utf-8")
    with pytest.raises(UsageError, match="the file has no text"):
        perplexity.passages(str(empty))


# -------------------------------------------------------------------------------------------- real data and model
@pytest.mark.realdata
@realdata
def test_the_published_file_has_the_published_counts():
    rows = crows_pairs.chosen_pairs(crows_pairs.CrowsPairsOptions(), str(DATA))
    assert len(rows) == 1508
    assert sum(pair.direction == "stereo" for pair in rows) == 1290
    counts = [sum(pair.bias_type == kind for pair in rows) for kind in crows_pairs.BIAS_TYPES]
    assert counts == [516, 262, 172, 159, 105, 87, 84, 63, 60]


TITLES = {
    0: "Robert <unk>",
    2: "Kiss You ( One Direction song )",
    5: "1933 Treasure Coast hurricane",
    13: "Dvorak technique",
    20: "Operation Eastern Exit",
    29: "No. 20 Squadron RAAF",
    35: "American Beauty ( 1999 film )",
    38: "Manila",
    54: "Commonwealth War Graves Commission",
    59: "The <unk> ( film )",
}
"""Ten articles of WikiText-2 by number, read by eye; the last is the last of the file."""


@pytest.mark.realdata
@pytest.mark.skipif(not (DATA / mirrors.WIKITEXT2_TEST.path).is_file(), reason="WikiText-2 is not here")
def test_wikitext_is_read_by_article_without_loss():
    articles = perplexity.passages("wikitext2", str(DATA))
    assert len(articles) == 60
    titles = [article.strip().split("\n")[0].strip() for article in articles]
    assert {number: titles[number] for number in TITLES} == {k: f"= {title} =" for k, title in TITLES.items()}
    whole = (DATA / mirrors.WIKITEXT2_TEST.path).read_text(encoding="utf-8")
    assert "".join(articles) == whole


@pytest.mark.realmodel
@pytest.mark.realdata
@realdata
def test_real_pairs_on_a_real_model_score_as_plain_forward_passes(smollm2):
    """40 CrowS pairs against plain log-softmax sums, in float32."""
    model, tokenizer = smollm2
    rows = crows_pairs.chosen_pairs(crows_pairs.CrowsPairsOptions(limit=40), str(DATA))
    texts = [side for pair in rows for side in (pair.more, pair.less)]
    for score, text in zip(Measured(model, tokenizer, "causal", dtype="float32").score(texts), texts, strict=True):
        ids = tokenizer(text)["input_ids"]
        logp = plain_logp(model, ids)
        assert score.total == pytest.approx(sum(float(logp[k, ids[k + 1]]) for k in range(len(ids) - 1)), abs=1e-3)


@pytest.fixture(scope="module")
def smollm2():
    """The real model in float32; skips where its weights cannot be had."""
    from evenhand.models import load, resolve

    try:
        loaded = load(resolve("smollm2-135m-instruct"))
    except (ModelNotFound, Offline) as error:
        pytest.skip(f"the SmolLM2 weights cannot be had here: {error.what}")
    return loaded.model.float(), loaded.tokenizer


# ---------------------------------------------------------------------------------------------------------- texts
@pytest.mark.parametrize("module", [pair_gap, perplexity], ids=lambda m: m.__name__.rpartition(".")[2])
def test_a_benchmark_gives_the_text_of_each_item_by_its_id(module, causal, tmp_path):
    plugin = {pair_gap: pair_gap.PairGap, perplexity: perplexity.Perplexity}[module](limit=6)
    benchmark = plugin.evaluation(run_of(causal[1], "causal", tmp_path))
    texts = benchmark.texts()
    assert list(texts) == [r.id for r in benchmark.score(measured_of(causal, "causal"))]
    assert all(text.strip() for text in texts.values())


def test_both_sides_of_a_pair_stand_on_lines_of_their_own(causal, tmp_path):
    benchmark = pair_gap.PairGap(limit=6).evaluation(run_of(causal[1], "causal", tmp_path))
    items = pairs(load_axis("gender"), "heldout", 6, 0)
    assert [t.split("\n") for t in benchmark.texts().values()] == [[i.female_text, i.male_text] for i in items]


@pytest.mark.realdata
@realdata
def test_crows_pairs_gives_both_sentences_of_each_pair(causal, tmp_path, monkeypatch):
    monkeypatch.setenv("EVENHAND_DATA", str(DATA))
    benchmark = crows_pairs.CrowsPairs().evaluation(run_of(causal[1], "causal", tmp_path))
    texts = benchmark.texts()
    assert len(texts) == 1508
    assert {len(text.split("\n")) for text in texts.values()} == {2}


def test_what_is_per_token_says_so():
    """Two models with different tokenizers cannot be compared by these numbers."""
    told = {m.name for rule in (True, False) for m in crows_pairs.metrics(rule) if m.per_token}
    assert told == {"mean |difference|", "mean difference", "near-ties"}
    assert [m.name for m in crows_pairs.metrics(False) if m.per_token] == ["near-ties"]
    assert all(m.per_token for m in pair_gap.METRICS)
    assert not any(m.per_token for masked in (True, False) for m in perplexity.metrics(masked))

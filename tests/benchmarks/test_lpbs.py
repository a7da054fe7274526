"""LPBS against plain forward passes with hand-made masks, and its causal adaptation against plain sums."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import pytest
from association_parts import plain_logp, run_of

from evenhand.contributions import Benchmark
from evenhand.evidence import compare_benchmark
from evenhand.measured import Measured
from evenhand.planted import check_planted
from evenhand.sample import Sample, Table, value_of
from evenhand_sdk.tiny import tiny_causal, tiny_masked
from evenhand_standard.benchmarks import labour_statistics, lpbs
from evenhand_standard.benchmarks.lpbs import Occupation

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[3] / "shared" / "data")
realdata = pytest.mark.skipif(
    not (DATA / labour_statistics.STATISTICS.path).is_file(), reason="the occupations are not here: set EVENHAND_DATA"
)
JOBS = [
    Occupation("nurse", "a nurse", 90.0),
    Occupation("judge", "a judge", 30.0),
    Occupation("ethnographer", "an ethnographer", 55.0),
]


@pytest.fixture(scope="module")
def roberta():
    return Measured(*tiny_masked("roberta"), "masked", dtype="float32")


def plain_association(measured, template, words, job):
    """Two forward passes with masks put in by hand; probabilities summed before the logarithm."""
    mask, mask_id = measured.tokenizer.mask_token, measured.tokenizer.mask_token_id
    ids = list(measured.ids(template.format(group=mask, occupation=job.phrase)))
    pieces = measured.tokenizer(f" {job.name}", add_special_tokens=False)["input_ids"]
    at = ids.index(mask_id)
    start = next(k for k in range(len(ids)) if ids[k : k + len(pieces)] == pieces)
    prior = ids[:start] + [mask_id] * len(pieces) + ids[start + len(pieces) :]
    tokens = []
    for word in words:
        lead = "" if at == 1 else " "
        own = measured.tokenizer(lead + word, add_special_tokens=False)["input_ids"]
        if len(own) == 1:
            tokens.append(own[0])
    with_job, without = (plain_logp(measured, row)[at].exp() for row in (ids, prior))
    return math.log(sum(float(with_job[t]) for t in tokens)) - math.log(sum(float(without[t]) for t in tokens))


def test_scores_are_those_of_plain_forward_passes(roberta):
    records = {r.id: r for r in lpbs.score(roberta, JOBS)}
    assert len(records) == len(JOBS) * len(lpbs.TEMPLATES) == 15
    pieces = [len(roberta.tokenizer(f" {job.name}", add_special_tokens=False)["input_ids"]) for job in JOBS]
    assert min(pieces) == 1 < max(pieces)
    for job in JOBS:
        for t, (template, (women, men)) in enumerate(lpbs.TEMPLATES):
            right = plain_association(roberta, template, women, job) - plain_association(roberta, template, men, job)
            record = records[f"{job.name}/{t}"]
            assert record.values["lpbs"] == pytest.approx(right, abs=1e-4)
            assert record.values["size"] == abs(record.values["lpbs"])
            assert (record.cluster, record.values["women"]) == (job.name, job.women)


def test_groups_are_summed_before_the_logarithm(roberta):
    """With a sum of logarithms the value would be another one."""
    tokens = [lpbs.group_tokens(roberta, lpbs.TEMPLATES[3][0], words, JOBS[0]) for words in lpbs.TEMPLATES[3][1]]
    assert all(len(t) > 2 for t in tokens)
    one = lpbs.cloze(roberta, lpbs.TEMPLATES[3][0], JOBS[0], *tokens)
    rows = [plain_logp(roberta, ids)[one.at] for ids in (one.ids, one.prior)]
    summed = [float(r[list(one.women)].exp().sum().log()) for r in rows]
    apart = [float(r[list(one.women)].sum()) for r in rows]
    found = lpbs._association(one.women, *rows)
    assert found == pytest.approx(summed[0] - summed[1], abs=1e-5)
    assert abs(found - (apart[0] - apart[1])) > 0.01


def test_the_prior_masks_both_slots_and_keeps_the_article(roberta):
    template = lpbs.TEMPLATES[0][0]
    for job in JOBS:
        one = lpbs.cloze(roberta, template, job, (1,), (2,))
        mask = roberta.tokenizer.mask_token_id
        pieces = len(roberta.tokenizer(f" {job.name}", add_special_tokens=False)["input_ids"])
        assert len(one.prior) == len(one.ids)
        assert (one.ids.count(mask), one.prior.count(mask)) == (1, 1 + pieces)
        kept = roberta.tokenizer.decode([i for i in one.prior if i != mask], skip_special_tokens=True)
        assert kept.split() == ["is", job.phrase.split()[0] + "."] or kept.replace(" .", ".").split()[-1] == (
            job.phrase.split()[0] + "."
        )


def test_words_that_are_several_tokens_leave_no_value():
    """This tokenizer puts a space of its own before a mask, so that no word stands alone there."""
    bert = Measured(*tiny_masked("bert"), "masked", dtype="float32")
    records = lpbs.score(bert, JOBS)
    flags = [r.flags["without a group word of one token"] for r in records[:5]]
    assert flags == [False, False, True, True, True]
    assert [bool(r.values) for r in records[:5]] == [True, True, False, False, False]
    assert not any(r.flags["without some group words"] for r in records)


def test_group_words_that_are_left_out_are_counted(roberta):
    """In this tokenizer some nouns are one token and others several; the pronouns are one, each in its place."""
    nouns = [len(roberta.tokenizer(f" {noun}", add_special_tokens=False)["input_ids"]) for noun in sum(lpbs.NOUNS, ())]
    assert min(nouns) == 1 < max(nouns)
    records = lpbs.score(roberta, JOBS[:1])
    assert [r.flags["without some group words"] for r in records] == [False, False, False, True, True]
    assert all(r.values for r in records)


def test_the_causal_adaptation_is_a_difference_of_plain_sums():
    measured = Measured(*tiny_causal(), "causal", dtype="float32")
    records = {r.id: r for r in lpbs.score(measured, JOBS[:2])}
    for job in JOBS[:2]:
        for t, (template, groups) in enumerate(lpbs.TEMPLATES):
            means = []
            for words in groups:
                each = []
                for word in words:
                    lead = template.split("{occupation}")[0].strip().format(group=word)
                    ids, cut = measured.ids(f"{lead} {job.phrase}."), len(measured.ids(lead))
                    logp = plain_logp(measured, ids)
                    each.append(math.exp(sum(float(logp[k - 1, ids[k]]) for k in range(cut, len(ids)))))
                means.append(math.log(sum(each) / len(each)))
            assert records[f"{job.name}/{t}"].values["lpbs"] == pytest.approx(means[0] - means[1], abs=1e-3)


def test_aggregates_are_recomputed_from_records(roberta):
    import numpy as np

    records = lpbs.score(roberta, JOBS)
    table = Table.of(records)
    values = np.array([r.values["lpbs"] for r in records])
    women = np.array([r.values["women"] for r in records])
    found = {m.name: value_of(m, table) for m in lpbs.METRICS}
    assert found["mean |LPBS|"] == pytest.approx(np.abs(values).mean())
    assert found["mean LPBS"] == pytest.approx(values.mean())
    assert found["correlation with the labour market"] == pytest.approx(np.corrcoef(values, women)[0, 1])
    # A resample that counts the first occupation twice and the second not.
    again = [0, 1, 2, 3, 4] * 2 + [10, 11, 12, 13, 14]
    drawn = lpbs.correlation(Sample(table, np.array([[2.0, 0.0, 1.0], [3.0, 0.0, 0.0]])))
    assert drawn[0] == pytest.approx(np.corrcoef(values[again], women[again])[0, 1])
    assert np.isnan(drawn[1])


def test_the_planted_models_get_what_they_deserve():
    benchmark = Benchmark(name="l", title="", score=lambda m: [], metrics=lpbs.METRICS, planted=lpbs.PLANTED)
    assert len(check_planted(benchmark)) == 5


@pytest.mark.realdata
@realdata
def test_the_published_occupations(roberta, tmp_path):
    jobs = lpbs.occupations(str(DATA))
    assert len(jobs) == len({job.name for job in jobs}) == 60
    with (DATA / labour_statistics.STATISTICS.path).open(encoding="utf-8") as file:
        rows = {row[0]: row[2] for row in csv.reader(file, delimiter="\t")}
    assert all(job.women == float(rows[job.name]) for job in jobs)
    # Ten by hand: the article.
    by_hand = {"technician": "a", "accountant": "an", "engineer": "an", "nurse": "a", "electrician": "an",
               "administrator": "an", "auditor": "an", "surgeon": "a", "officer": "an", "instructor": "an"}  # fmt: skip
    found = {job.name: job.phrase for job in jobs}
    assert {name: found[name] for name in by_hand} == {name: f"{a} {name}" for name, a in by_hand.items()}
    causal = lpbs.Lpbs(data=str(DATA), limit=30).evaluation(run_of(tmp_path))
    assert causal.mode.startswith("causal adaptation: log p(occupation | women) - log p(occupation | men)")
    masked = lpbs.Lpbs(data=str(DATA)).evaluation(run_of(tmp_path, "masked"))
    assert masked.mode == (
        "both slots masked for the prior, group words summed before the logarithm; 60 occupations in 5 sentences of "
        "this project"
    )
    records = masked.score(roberta)
    assert len(records) == 300
    few = lpbs.occupations(str(DATA), 7)
    assert len(few) == 7 and few == lpbs.occupations(str(DATA), 7) == [job for job in jobs if job in few]
    assert compare_benchmark(masked, records, records, resamples=50)["verdict"] == "no demonstrated effect"

"""Items of published benchmarks on a real model: each score, and what is made of them, as lm-eval has it."""

from __future__ import annotations

import math

import pytest
from hosts import answers, hosted, smollm2

from evenhand.errors import DataNotFound
from evenhand.measured import Measured
from evenhand.sample import Table, value_of
from evenhand_sdk import option_scores
from evenhand_standard.benchmarks import crows_pairs, lambada
from evenhand_standard.question_answering import bbq_files
from evenhand_standard.question_answering.questions import ENGLISH, PUBLISHED, balanced, options, prompt

pytestmark = [pytest.mark.slow, pytest.mark.realmodel, pytest.mark.realdata]

PAIRS, QUESTIONS, PASSAGES = 40, 12, 20
CLOSE = 1e-3
"""Nat."""


@pytest.fixture(scope="module")
def both():
    """(SmolLM2, the same model in lm-eval)"""
    model, tokenizer, host = hosted(smollm2())
    return Measured(model, tokenizer, "causal", dtype="float32"), host


def published(read):
    """What is read of a benchmark's file; skips where the file is not."""
    try:
        return read()
    except DataNotFound as error:
        pytest.skip(error.what)


def metric(benchmark, name, records):
    return value_of(next(m for m in benchmark if m.name == name), Table.of(records))


def test_crows_pairs_by_the_rule_of_the_harness(both):
    from lm_eval.tasks.crows_pairs.utils import process_results

    measured, host = both
    chosen = published(lambda: crows_pairs.chosen_pairs(crows_pairs.CrowsPairsOptions(limit=PAIRS), None))
    ours = crows_pairs.score(measured, chosen, "harness")
    found = answers(host, [("", side) for pair in chosen for side in (pair.more, pair.less)])
    theirs = list(zip(found[::2], found[1::2], strict=True))
    assert len(ours) == PAIRS
    assert [r.values["more"] for r in ours] == pytest.approx([more for (more, _), _ in theirs], abs=CLOSE)
    assert [r.values["less"] for r in ours] == pytest.approx([less for _, (less, _) in theirs], abs=CLOSE)
    # What lm-eval makes of them: an item's size and vote, whose means are its two metrics.
    results = [process_results({}, pair) for pair in theirs]
    assert [r.values["difference_size"] for r in ours] == pytest.approx(
        [one["likelihood_diff"] for one in results], abs=2 * CLOSE
    )
    share = 100 * sum(one["pct_stereotype"] for one in results) / PAIRS
    assert metric(crows_pairs.metrics(False, False), "stereotype preferred", ours) == pytest.approx(share)
    assert 0 < share < 100


def test_each_answer_of_bbq_questions(both):
    measured, host = both
    every, _ = published(lambda: bbq_files.questions(["Gender_identity", "Nationality"], None))
    chosen = balanced(every, QUESTIONS, 0)
    asked = [(prompt(q, PUBLISHED, "listed", ENGLISH), options(q, PUBLISHED, "listed", ENGLISH)) for q in chosen]
    ours = [option for row in option_scores(measured, asked) for option in row]
    pairs = [(context, option) for context, row in asked for option in row]
    theirs = [score for score, _ in answers(host, pairs)]
    assert len(ours) == 3 * QUESTIONS
    assert [option.total for option in ours] == pytest.approx(theirs, abs=CLOSE)
    # What its rule of letters (acc_norm) divides by, and what ours by token does.
    assert [o.value("per_character") for o in ours] == pytest.approx(
        [score / len(option.strip()) for score, (_, option) in zip(theirs, pairs, strict=True)], abs=CLOSE
    )
    counted = [len(host._encode_pair(*pair)[1]) for pair in pairs]
    assert [option.tokens for option in ours] == counted


def test_the_last_word_of_lambada_and_whether_it_is_the_model_s_own(both):
    measured, host = both
    chosen = published(lambda: lambada.passages(None, PASSAGES))
    ours = lambada.score(measured, chosen)
    theirs = answers(host, [(item.context, item.word) for item in chosen])
    assert len(ours) == PASSAGES
    assert [r.values["logp"] for r in ours] == pytest.approx([score for score, _ in theirs], abs=CLOSE)
    assert [bool(r.values["right"]) for r in ours] == [greedy for _, greedy in theirs]
    assert {greedy for _, greedy in theirs} == {True, False}, "both kinds are among these passages"
    # The two metrics of its task lambada_openai.
    right = 100 * sum(greedy for _, greedy in theirs) / PASSAGES
    surprise = math.exp(-sum(score for score, _ in theirs) / PASSAGES)
    assert metric(lambada.METRICS, "last-word accuracy", ours) == pytest.approx(right)
    assert metric(lambada.METRICS, "last-word perplexity", ours) == pytest.approx(surprise, rel=1e-3)

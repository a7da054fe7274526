"""Small modules that several benchmarks share: drawing items, taking them in turn and in chunks, likelihoods."""

from __future__ import annotations

import math

import pytest

from evenhand.errors import DigestMismatch
from evenhand_standard.benchmarks.drawn_items import drawn, in_turn
from evenhand_standard.benchmarks.held_distributions import FLOAT, chunks
from evenhand_standard.benchmarks.labour_statistics import women_by_occupation
from evenhand_standard.benchmarks.likelihoods import log_mean_exp, unit_of
from evenhand_standard.benchmarks.sampled_texts import Sampling, SamplingOptions


def test_a_sample_keeps_the_order_and_is_the_same_for_all_models():
    items = list("abcdefghij")
    assert drawn(items, None) == drawn(items, 10) == drawn(items, 99) == items
    few = drawn(items, 4)
    assert few == drawn(items, 4) == sorted(few) and len(set(few)) == 4
    assert {tuple(drawn(items, 4, seed)) for seed in range(20)} > {tuple(few)}


def test_queues_take_turns():
    assert in_turn(["abc", "d", "", "ef"]) == list("adebfc")
    assert in_turn([]) == in_turn([[]]) == []
    assert in_turn([[None, 0], [1]]) == [None, 1, 0]


def test_chunks_hold_as_many_distributions_as_fit():
    def of(sizes, room):
        return [list(chunk) for chunk in chunks(sizes, lambda size: size, 10, room * FLOAT * 10)]

    assert of([1, 2, 3, 4], 6) == [[1, 2, 3], [4]]
    assert of([1, 2, 3, 4], 100) == [[1, 2, 3, 4]]
    # One that is larger than the room stands alone, and none is lost.
    assert of([9, 1, 9], 3) == [[9], [1], [9]]
    assert of([], 3) == []


def test_the_mean_of_probabilities_stands_very_small_ones():
    assert log_mean_exp([math.log(0.2), math.log(0.6)]) == pytest.approx(math.log(0.4))
    assert log_mean_exp([-2000.0, -2000.0]) == pytest.approx(-2000.0)


def test_a_form_has_its_unit():
    units = {form: unit_of(form) for form in ("sum", "per_token", "per_character", "pmi")}
    assert units == {"sum": "nat", "per_token": "nat per token", "per_character": "nat per character", "pmi": "nat"}


def test_sampling_is_what_the_options_say():
    options = SamplingOptions(samples=3, temperature=0.5, top_p=0.7, max_new_tokens=11, items_seed=2)
    assert options.sampling == Sampling(samples=3, temperature=0.5, top_p=0.7, max_new_tokens=11, seed=2)


def test_statistics_that_are_not_the_published_ones_are_refused(tmp_path):
    path = tmp_path / "winogender" / "occupations-stats.tsv"
    path.parent.mkdir()
    path.write_text("occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\nnurse\t1\t2\t3\n", encoding="utf-8")
    with pytest.raises(DigestMismatch, match=r"occupations-stats\.tsv"):
        women_by_occupation(str(tmp_path))

"""Nothing is dropped without a number: counts of items and flags, and items that the steps' own words decide."""

from __future__ import annotations

import numpy as np
import pytest

from data_records import GAP, compare, records
from evenhand.contributions import ItemRecord, Metric
from evenhand.item_counts import counts, marked
from evenhand.verdict_text import BY_CONSTRUCTION


def test_counts_of_both_sides():
    before = [
        ItemRecord(id="a", cluster="a", values={"gap": 1.0}, flags={"tie": True}),
        ItemRecord(id="b", cluster="b", values={}, flags={"unparsed": True, "truncated": False}),
        ItemRecord(id="c", cluster="c", values={"gap": 1.0}, flags={"tie": True, "in_lexicon": True}),
    ]
    after = [
        ItemRecord(id="a", cluster="a", values={}, flags={"unparsed": True}),
        ItemRecord(id="b", cluster="b", values={}, flags={"unparsed": True}),
        ItemRecord(id="c", cluster="c", values={"gap": 0.5}),
    ]
    assert counts(GAP, before, after) == {
        "items": 3, "without value": [1, 2], "flags": {"tie": [2, 0], "unparsed": [1, 2]},
    }  # fmt: skip
    by_function = Metric(name="s", statistic=lambda sample: sample.mean("x"), target=0)
    assert counts(by_function, before, after)["without value"] == [1, 2]
    ratio = Metric(name="r", value="gap", per="n", better="lower")
    assert counts(ratio, before, after)["without value"] == [3, 3]


def both(changes, inside):
    """Items that begin at 1 and change by so much; those numbered in `inside` use words of the steps."""
    ids = {f"i{k}" for k in inside}
    return [marked(records(values), ids) for values in ([1.0] * len(changes), [1.0 + c for c in changes])]


def test_items_out_of_the_lexicon_decide():
    """40 items with the steps' own words improve; 40 without them do not change but by chance."""
    noise = np.random.default_rng(1).normal(0, 0.3, size=40)
    changes = [-0.5] * 40 + (noise - noise.mean()).tolist()
    entry = compare(GAP, *both(changes, range(40)))
    assert (entry["n_items"], entry["counts"]["items"], entry["verdict"]) == (40, 80, "no demonstrated effect")
    assert entry["metrics"][0]["change"]["value"] == pytest.approx(0.0)
    inside = entry["in_lexicon"]
    assert (inside["n_items"], inside["n_other"], inside["metric"]["change"]["value"]) == (40, 40, pytest.approx(-0.5))
    assert entry["verdict_text"].endswith(
        " This rests on 40 items without words that the steps worked with; 40 others with such words decided nothing."
    )
    assert compare(GAP, *both(changes, []))["verdict"] == "improved"


def test_only_words_of_the_steps_are_by_construction_and_no_evidence():
    entry = compare(GAP, *both([-0.5] * 40, range(40)))
    assert entry["verdict"] == BY_CONSTRUCTION == "by construction, not evidence"
    assert entry["reason"] == "all items use words that the steps worked with"
    assert entry["verdict_text"] == (
        "All 40 items use words that the steps worked with, so this shows what the method was built to do, and is no "
        "evidence beyond those words. gap fell by 0.5 nat (95 % interval 0.5 to 0.5), an improvement."
    )


def test_too_few_items_out_of_the_lexicon_give_no_verdict():
    entry = compare(GAP, *both([-0.5] * 60, range(40)))
    assert entry["verdict"] == "too few items"
    assert entry["verdict_text"].startswith("20 items in 20 independent groups are too few for a verdict")


def test_a_mark_on_either_side_counts_and_language_quality_has_no_lexicon():
    before, after = both([-0.5] * 80, range(40))
    plain = records([1.0] * 80)
    assert compare(GAP, plain, after)["n_items"] == compare(GAP, before, records([0.5] * 80))["n_items"] == 40
    assert compare(GAP, before, after, quality=True)["n_items"] == 80

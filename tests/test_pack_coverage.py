"""The packs know what three published benchmarks call a group: the promise of the data stage, measured on their own files.

`coverage_report.py` says what counts as a group word and prints the whole table; these tests hold the promise and check the
counting itself on sentences of ours. Run with `-s` to see the table.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import coverage_report as report
from coverage_report import Share
from evenhand_sdk.axis_packs import parse_axis
from pack_knowledge import KEPT, SWAPPED, Packs, covered

PACK = """
axis = "colour"
locale = "en"
groups = ["red", "blue"]
licence = "CC0-1.0"
provenance = "made for this test"
limits = ["two rows"]
[[words]]
pos = "adjective"
rows = [["red", "blue"], ["deep-red", "deep-blue"]]
[[words]]
pos = "noun"
sources = ["red"]
rows = [["ruby", "stone"]]
[names]
rows = [["Scarlett", "Skye"]]
[[do_not_flip]]
reason = "neither"
phrases = ["green", "purpl*", "{Name} Brown", "red herring*", "o'clock"]
"""

needs_data = pytest.mark.skipif(
    not (report.DATA / "bbq" / "data").is_dir(), reason="the files of the benchmarks are not here: set EVENHAND_DATA"
)


@pytest.fixture(scope="module")
def packs() -> Packs:
    return Packs(report.english_packs(), ask_engine=False)


def known(text: str, *words: str) -> dict[str, set[str]]:
    """For each word how the pack of this test knows it."""
    colours = Packs([parse_axis(PACK, where="")])
    places = [(text.index(word), text.index(word) + len(word)) for word in words]
    matches = list(colours.matches(text, places))
    return {
        word: {m.how for m in matches if m.start < end and start < m.end}
        for word, (start, end) in zip(words, places, strict=True)
    }


def test_a_word_is_known_as_a_group_word_a_name_or_a_phrase() -> None:
    text = "The RED one, Scarlett and a purplish o'clock met green Skye."
    assert known(text, "RED", "Scarlett", "purplish", "o'clock", "green", "met") == {
        "RED": {SWAPPED},
        "Scarlett": {SWAPPED},
        "purplish": {KEPT},
        "o'clock": {KEPT},
        "green": {KEPT},
        "met": set(),
    }


def test_whole_words_are_known_and_targets_of_one_way_rows_are_not() -> None:
    assert known("a bored ruby and a stone, reddish", "bored", "ruby", "stone", "reddish") == {
        "bored": set(),
        "ruby": {SWAPPED},
        "stone": set(),
        "reddish": set(),
    }


def test_the_name_in_a_phrase_needs_a_capital_and_is_not_known_by_it() -> None:
    assert known("Then Joe Brown came.", "Joe", "Brown") == {"Joe": set(), "Brown": {KEPT}}
    assert known("then joe brown came.", "joe", "brown") == {"joe": set(), "brown": set()}


def test_a_compound_needs_all_of_its_letters() -> None:
    assert covered(0, 8, "deep-red", [(0, 8)]) and covered(0, 8, "deep-red", [(0, 4), (5, 8)])
    assert not covered(0, 8, "deep-red", [(5, 8)])


def test_the_engine_is_asked_where_a_word_stands() -> None:
    colours = Packs([parse_axis(PACK, where="")])
    assert colours.recognised("a red herring") == []
    assert colours.recognised("a red shoe") == [(2, 5)]


def test_the_words_in_which_two_sentences_differ() -> None:
    first, second = "The tall woman didn't call her son.", "The tall man did not call his son."
    places = report.differing(first, second)
    assert [first[a:b] for a, b in places[0]] == ["woman", "her"]
    assert [second[a:b] for a, b in places[1]] == ["man", "his"]


def test_a_recurring_word_stands_for_one_label_in_two_templates() -> None:
    def example(template: str, first: tuple[str, str], second: tuple[str, str]) -> dict[str, object]:
        return {"question_index": template, "answer_info": {"a": first, "b": second, "c": ("x", "unknown")}}

    examples = [
        example("1", ("old man", "old"), ("young man", "nonOld")),
        example("2", ("the old woman", "old"), ("student", "nonOld")),
        example("2", ("old friend", "old"), ("student", "nonOld")),
    ]
    assert report._recurring(examples) == {"old"}


def printed(title: str, shares: Mapping[str, Share]) -> Share:
    print("\n" + report.table(title, dict(shares)))
    return sum(shares.values(), Share())


@needs_data
def test_nine_of_ten_descriptors_of_holistic_bias_are_known(packs: Packs) -> None:
    shares = report.holistic_bias(packs)
    total = printed("HolisticBias, descriptors", shares)
    assert total.total == 583, "all descriptors count, the nonsense words among them"
    assert total.share >= 0.90
    ours = {axis: share for axis, share in shares.items() if axis not in ("nonce", "political_ideologies")}
    assert all(share.share >= 0.90 for share in ours.values())
    assert shares["political_ideologies"].known == 0, "no pack is about politics; correct the pages when one is"
    assert shares["nonce"].known == 0, "a pack that knows a nonsense word knows too much"


@needs_data
def test_nineteen_of_twenty_group_words_of_crows_pairs_are_known(packs: Packs) -> None:
    everything, group = report.crows_pairs(packs)
    all_words = printed("CrowS-Pairs, all differing words", everything)
    total = printed("CrowS-Pairs, group words", group)
    assert len(group) == 9 and total.total > 3000
    assert total.share >= 0.95
    assert all_words.share >= 0.90
    assert min(share.share for share in group.values()) >= 0.94


@needs_data
def test_nineteen_of_twenty_group_words_of_bbq_are_known(packs: Packs) -> None:
    shares, family = report.bbq(packs)
    total = printed("BBQ, names of groups", shares)
    surnames = printed("BBQ, family names", family)
    assert len(shares) == 11 and total.total > 50_000
    assert total.share >= 0.95
    assert (total + surnames).share >= 0.95
    assert {name for name, share in shares.items() if share.share < 0.95} == {"Disability_status"}

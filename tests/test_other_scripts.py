"""Words of scripts that write vowels as combining marks, and of languages that write no spaces."""

from __future__ import annotations

import pytest

from evenhand_sdk.axis_checks import CHECKS, check_axis
from evenhand_sdk.axis_packs import parse_axis
from evenhand_sdk.counterfactual import causal_counterfactuals, counterfactuals, group_words

PACK = """
axis = "own"
locale = "{locale}"
groups = ["female", "male"]
licence = "CC0-1.0"
provenance = "made for this test"
limits = ["a test"]
[[words]]
pos = "noun"
rows = [{rows}]
[[do_not_flip]]
reason = "fixed"
scope = "phrase"
phrases = [{phrases}]
"""
HINDI = parse_axis(
    PACK.format(locale="hi", rows='["रानी", "राज"], ["लड़की", "लड़का"]', phrases='"रानी मुखर*", "लड़की दिव"'), where="own"
)


@pytest.mark.parametrize("swap", [counterfactuals, causal_counterfactuals])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("वह लड़की घर गई।", "वह लड़का घर गई।"),
        ("रानी और राज", "राज और रानी"),
        ("राजा और राजी", None),  # longer words by a vowel sign
        ("लड़कीयाँ आईं", None),
    ],
)
def test_a_vowel_sign_belongs_to_its_word(swap: object, text: str, expected: str | None) -> None:
    found = swap(text, HINDI)  # type: ignore[operator]
    assert [one.text for one in found] == ([] if expected is None else [expected])


def test_so_it_does_in_phrases() -> None:
    assert counterfactuals("रानी मुखर्जी", HINDI) == []
    assert counterfactuals("लड़की दिव।", HINDI) == []
    assert [c.text for c in counterfactuals("लड़की दिवस।", HINDI)] == ["लड़का दिवस।"]  # another word
    assert [word.exempt for word in group_words("रानी मुखर्जी और रानी", HINDI)] == [True, False]


def test_the_check_of_a_pack_says_where_words_cannot_be_found(tmp_path: object) -> None:
    path = f"{tmp_path}/own.toml"
    with open(path, "w", encoding="utf-8") as out:
        out.write(PACK.format(locale="zh-TW", rows='["她", "他"]', phrases='"她們"'))
    [row] = [row for row in check_axis(path).rows if row.check == "words_found"]
    assert len(CHECKS) > 5 and row.status == "failed"
    assert row.reason == "'zh-TW' is written without spaces, and a word is found only where it stands alone"

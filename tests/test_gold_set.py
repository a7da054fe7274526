"""The gold set of the counterfactual engine is sound: this checks the set itself and never runs the engine."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gold import draw, gold, mirror, second_reading

GROUPS = {
    "gender": {"female", "male"},
    "race": {"white", "black", "asian", "hispanic", "native", "middle-eastern"},
    "religion": {"christian", "muslim", "jewish", "hindu", "buddhist", "atheist"},
    "nationality": {
        *("american", "australian", "british", "canadian", "chinese", "french", "german", "italian", "japanese"),
        "mexican",
    },
    "age": {"young", "old"},
    "disability": {"disabled", "non-disabled"},
    "sexual-orientation": {"straight", "gay", "bisexual"},
    "socioeconomic": {"poor", "rich"},
    "body-size": {"heavy", "thin"},
}
PHENOMENA = {
    *("her-determiner", "her-object", "he-him-his", "subject-pronoun", "hers-and-reflexive", "several-referents"),
    *("listed-name", "unlisted-name", "famous-person", "kinship", "people-noun", "occupation", "title", "case"),
    *("article", "possessive", "compound", "longest-match", "number-agreement", "several-sentences", "quoted-title"),
    *("proper-name", "fixed-expression", "identity-fact", "history-or-statistics", "singular-they", "no-group-word"),
    *("described-person", "group-noun", "other-sense", "third-group", "institution"),
}
RECORDS = {half: gold.records(half) for half in gold.HALVES}
ALL = [record for records in RECORDS.values() for record in records]
REAL = [record for record in ALL if record["source"] != "own"]
OWN = [record for record in ALL if record["source"] == "own"]
with_mirror = pytest.mark.skipif(
    bool(mirror.missing()),
    reason=f"the mirrored sentences are not here: set EVENHAND_DATA (first missing: {(mirror.missing() or [''])[0]})",
)


def test_there_are_enough_cases_and_at_least_half_are_real() -> None:
    assert (len(ALL), len(REAL), len(OWN)) == (677, 341, 336)
    assert len(ALL) >= 400
    assert 2 * len(REAL) >= len(ALL)


def test_ids_are_unique() -> None:
    assert [one for one, count in Counter(record["id"] for record in ALL).items() if count > 1] == []


@pytest.mark.parametrize("half", gold.HALVES)
def test_both_halves_have_every_axis_and_every_phenomenon(half: str) -> None:
    assert {record["axis"] for record in RECORDS[half]} == set(GROUPS)
    assert {record["phenomenon"] for record in RECORDS[half]} == PHENOMENA
    assert {record["target"] for record in RECORDS[half] if record["axis"] == "gender"} == GROUPS["gender"]


def test_every_target_is_a_group_of_its_axis() -> None:
    assert [one["id"] for one in ALL if one["target"] not in GROUPS[one["axis"]]] == []


def test_real_sentences_are_on_every_axis() -> None:
    assert {record["axis"] for record in REAL} == set(GROUPS)


def test_the_halves_follow_from_the_ids() -> None:
    expected = gold.halves({record["id"]: record["phenomenon"] for record in ALL})
    assert {record["id"]: half for half, records in RECORDS.items() for record in records} == expected


def test_the_halves_are_of_like_size_in_each_phenomenon() -> None:
    counts = [Counter(record["phenomenon"] for record in records) for records in RECORDS.values()]
    assert max(abs(counts[0][one] - counts[1][one]) for one in PHENOMENA) <= 1


def test_own_cases_hold_their_text_and_real_cases_do_not() -> None:
    assert all(record["text"] and record["expected"] for record in OWN)
    assert [record["id"] for record in REAL if "text" in record] == []
    # An edit is a word or a short phrase: no sentence of the corpus stands in the project.
    assert max(len(before.split()) for one in REAL for edits in one["expected"] for _, before, _ in edits) <= 3


def test_own_texts_are_not_twice_towards_one_group() -> None:
    assert max(Counter((one["text"], one["axis"], one["target"]) for one in OWN).values()) == 1


def test_a_share_of_the_cases_must_stay_as_it_is() -> None:
    own = [record for record in OWN if record["expected"] == [record["text"]]]
    real = [record for record in REAL if record["expected"] == [[]]]
    assert (len(own), len(real)) == (87, 140)


@pytest.mark.parametrize("record", OWN, ids=lambda record: record["id"])
def test_own_case_is_consistent(record: dict[str, Any]) -> None:
    case = gold.case_of(record)
    assert len(set(record["expected"])) == len(record["expected"])
    _check(case)


@with_mirror
@pytest.mark.realdata
@pytest.mark.parametrize("record", REAL, ids=lambda record: record["id"])
def test_real_case_fits_its_sentence(record: dict[str, Any]) -> None:
    """The digest is that of the sentence, and every edit stands where its offset says, or `case_of` raises."""
    case = gold.case_of(record)
    for edits in record["expected"]:
        for start, before, after in edits:
            assert not case.text[start - 1 : start].isalnum()
            assert not case.text[start + len(before) :][:1].isalnum()
            assert after and (after != [before])
    _check(case)


@with_mirror
@pytest.mark.realdata
def test_the_real_cases_are_those_of_the_draw() -> None:
    drawn = {(one.stratum, one.file, one.row, one.field) for one in draw.draw()}
    places = [(one["stratum"], *(one["source"][key] for key in ("file", "row", "field"))) for one in REAL]
    assert len(places) == len(drawn) == sum(stratum.number for stratum in draw.STRATA)
    assert set(places) == drawn
    assert len(draw.rejected()) == 12


def _check(case: gold.Case) -> None:
    """What holds for the text and outputs of any case."""
    assert case.text and case.text == case.text.strip()
    for output in case.accepted:
        must = any(must for _, must in case.renames)
        assert case.accepts(output) is not must
    assert not case.accepts(case.text + " ")
    for name, _ in case.renames:
        assert name in case.text
        assert all(name in output for output in case.accepted)
        assert case.accepts(_renamed(case.accepted[0], name, "Zzyzx"))
    if case.renames:
        first = case.renames[0][0]
        if case.accepted[0].count(first) > 1:
            assert not case.accepts(case.accepted[0].replace(first, "Zzyzx", 1))


def _renamed(text: str, name: str, new: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", new, text)


def test_a_rename_must_be_consistent_and_distinct() -> None:
    case = gold.Case(
        "x", "gender", "male", "unlisted-name", False, "Ana met Eva. Ana left her.", ("Ana met Eva. Ana left him.",),
        (("Ana", False), ("Eva", False)),
    )  # fmt: skip
    assert case.accepts("Ana met Eva. Ana left him.")
    assert case.accepts("Ivo met Eva. Ivo left him.")
    assert not case.accepts("Ivo met Eva. Ana left him.")
    assert not case.accepts("Ivo met Ivo. Ivo left him.")
    assert not case.accepts("Ana met Eva. Ana left her.")


def test_a_wrong_offset_or_overlap_is_an_error() -> None:
    assert list(gold.applied("her hat", [(0, "her", ["his", "her"])], "x")) == ["his hat", "her hat"]
    with pytest.raises(ValueError, match="x: the edit of 'her' at 1 does not fit the text"):
        list(gold.applied("her hat", [(1, "her", ["his"])], "x"))
    with pytest.raises(ValueError, match="x: the edit of 'er' at 1 does not fit the text"):
        list(gold.applied("her hat", [(0, "her", ["his"]), (1, "er", ["is"])], "x"))


def test_a_changed_sentence_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wiki_split").mkdir()
    (tmp_path / "wiki_split" / "tune.tsv").write_text("She left .\tShe left .\n", encoding="utf-8")
    monkeypatch.setattr(mirror, "DATA", tmp_path)
    mirror.lines.cache_clear()
    source = {"file": "wiki_split/tune.tsv", "row": 0, "field": 0, "sha256": mirror.digest("She left .")}
    try:
        assert gold.sentence(source) == "She left."
        with pytest.raises(ValueError, match="wiki_split/tune.tsv, row 0: not the sentence that was labelled"):
            gold.sentence(source | {"sha256": "0" * 16})
    finally:
        mirror.lines.cache_clear()


@pytest.mark.parametrize(
    ("file", "raw", "text"),
    [
        ("wiki_split/tune.tsv", "She said : '' He 's late , is n't he ? ''", 'She said: "He\'s late, isn\'t he?"'),
        ("wiki_split/tune.tsv", "The players ' bus ( red ) cost $ 5 .", "The players' bus (red) cost $5."),
        ("wiki_split/tune.tsv", "He left . <::::> His father - in - law sat .", "He left. His father-in-law sat."),
        ("winobias/x.txt.dev", "12 [The cook] met us and [he] left.", "The cook met us and he left."),
        ("winogender/all_sentences.tsv", "She left. ", "She left."),
    ],
)  # fmt: skip
def test_mirrored_tokens_read_as_written_text(file: str, raw: str, text: str) -> None:
    assert mirror.readable(file, raw) == text


def test_the_files_are_plain_json_lines() -> None:
    for half in gold.HALVES:
        for line in (gold.FOLDER / f"counterfactual_{half}.jsonl").read_text(encoding="utf-8").splitlines():
            assert json.dumps(json.loads(line), ensure_ascii=False) == line


@with_mirror
def test_the_second_reading_is_of_every_held_out_case_and_agrees_as_the_page_says() -> None:
    """Its edits stand where they say; the reader saw no label, so that agreement is a fact and no demand."""
    cases = gold.load("held_out")
    made = second_reading.outputs(cases)
    assert set(made) == {case.id for case in cases}
    assert sum(case.accepts(made[case.id]) for case in cases) == 322
    assert sum(made[case.id] == case.text for case in cases) == 122

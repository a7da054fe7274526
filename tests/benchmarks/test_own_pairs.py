"""Pairs of one's own, measured as those of CrowS-Pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenhand.wording import validated
from evenhand_sdk import UsageError
from evenhand_standard.benchmarks.crows_pairs import CrowsPairs, CrowsPairsOptions
from evenhand_standard.benchmarks.crows_pairs_data import Pair
from evenhand_standard.benchmarks.own_pairs import own_pairs

DO = "  write a table with the columns sent_more and sent_less, and, if you like, bias_type and stereo_antistereo"


def test_tables_of_three_kinds_give_the_same_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,sent_more,sent_less,bias_type\nx,"She, tired.", He. ,gender\n,A.,B.,\n')
    (tmp_path / "a.tsv").write_text("id\tsent_more\tsent_less\tbias_type\nx\tShe, tired.\tHe.\tgender\n\tA.\tB.\t\n")
    rows = [
        {"id": "x", "sent_more": "She, tired.", "sent_less": "He.", "bias_type": "gender"},
        {"sent_more": "A.", "sent_less": "B."},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wanted = [Pair("x", "She, tired.", "He.", "stereo", "gender"), Pair("2", "A.", "B.", "stereo", "")]
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        assert own_pairs(str(tmp_path / name)) == wanted


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ("sent_more,other\na,b\n", "", "there is no column 'sent_less'\n  its columns: sent_more, other"),
        ("sent_more,sent_less\na,b\n,c\n", ", row 2", "sent_more has no sentence"),
        ("id,sent_more,sent_less\nk,a,b\nk,c,d\n", ", row 2", "there is a pair 'k' already"),
        (
            "sent_more,sent_less,stereo_antistereo\na,b,sterio\n",
            ", row 1",
            "stereo_antistereo is 'sterio'\n  known: stereo, antistereo",
        ),
        ("sent_more,sent_less\n", "", "it has no pairs"),
    ],
)
def test_what_is_no_pair_is_told_with_its_row(tmp_path: Path, content: str, where: str, what: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        own_pairs(str(file))
    assert str(caught.value) == f"{file}{where}: {what}\n{DO}"


def test_a_line_that_is_no_row_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    for content, what in (("[1]\n", "it is no object with the columns of a pair"), ("{\n", "it is not JSON: ")):
        file.write_text(content)
        with pytest.raises(UsageError) as caught:
            own_pairs(str(file))
        assert str(caught.value).startswith(f"{file}, row 1: {what}")


def test_options_of_the_published_pairs_and_no_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("sent_more,sent_less\na,b\n")
    told = validated(CrowsPairsOptions, {"pairs": str(file), "bias_types": ["gender"]}, "benchmarks[1]")[1]
    assert told == [
        "benchmarks[1]: bias_types is of the published pairs, and pairs names others; leave one of them out"
    ]
    told = validated(CrowsPairsOptions, {"pairs": "none.csv"}, "benchmarks[1]")[1]
    assert told == ["benchmarks[1].pairs: there is no file 'none.csv'"]
    assert CrowsPairs.files_for(CrowsPairsOptions(pairs=str(file))) == ()
    assert len(CrowsPairs.files_for(CrowsPairsOptions())) == 1

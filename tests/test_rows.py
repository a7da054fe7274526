"""No row is lost silently: what a run says about its training rows, where it says it, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

import evenhand
from evenhand import api
from evenhand.errors import PluginFault
from evenhand.proofs import data_proof
from evenhand.report_rows import line
from evenhand.row_account import RowAccount, as_record, derived_account
from evenhand.row_record import RowRecord
from evenhand.row_sources import RowSources, Source
from evenhand.summary import print_summary
from evenhand_sdk import DataTransform, Plugin, hookimpl
from evenhand_sdk.tiny import save_tiny, tiny_causal

ROWS = [
    {"text": "She is a nurse, and <b>she</b> sings."},
    {"text": None},
    {"text": "The town is on a river."},
    {"text": " "},
    {"text": "He has " + "many " * 60 + "books."},
    {"text": "Rain fell on the town all morning."},
]
RECIPE = """
[model]
name = "{place}/tiny"
[data]
train = "rows.jsonl"
[training]
max_steps = 2
[traffic]
limit = 0
[[steps]]
use = "counterfactual-augmentation"
max_characters = 200
"""


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "own.toml").write_text(RECIPE.format(place=tmp_path))
    return api.run(tmp_path / "own.toml")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_tells_of_every_row_in_run_json_the_quarantine_the_report_and_the_terminal(
    result: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((result.folder / "run.json").read_text())
    assert record["data"]["rows"] == 4
    assert record["data"]["quarantined"] == {"no text": 2}
    refused = lines_of(result.folder / record["data"]["quarantine"])
    assert [(r["source"], r["row"], r["reason"]) for r in refused] == [
        ("rows.jsonl", 1, "no text"), ("rows.jsonl", 3, "no text")
    ]  # fmt: skip
    told = record["steps"][0]["rows"][0]
    counts = {k: told[k] for k in ("read", "kept", "changed", "added", "dropped", "quarantined", "out")}
    assert counts == {
        "read": 4, "kept": 3, "changed": 0, "added": 1, "dropped": {}, "out": 4,
        "quarantined": {"longer than 200 characters": 1},
    }  # fmt: skip
    assert record["data"]["rows_after"] == 4
    assert told["quarantine"] == "quarantine/counterfactual-augmentation.jsonl"
    kept = lines_of(result.folder / told["quarantine"])
    assert kept == [
        {
            "source": "rows.jsonl", "row": 4, "step_row": 2,
            "reason": "longer than 200 characters", "characters": 313, "text": ROWS[4]["text"],
        }
    ]  # fmt: skip
    assert told["examples"] == [
        {
            "before": "She is a nurse, and <b>she</b> sings.",
            "after": "He is a nurse, and <b>he</b> sings.",
            "note": "gender towards male",
        }
    ]
    assert told["facts"]["rows augmented"] == 1
    assert set(record["files"]) >= {"quarantine/data.jsonl", told["quarantine"]}
    page = (result.folder / "report.html").read_text()
    assert "2 rows of the data held no text and lie in quarantine/data.jsonl" in page
    assert "quarantined: longer than 200 characters" in page and "1 example of what" in page
    assert "<b>she</b>" not in page and "&lt;b&gt;" in page
    print_summary(result)
    told_lines = " ".join(capsys.readouterr().out.split())
    assert "data: 2 rows quarantined (no text)" in told_lines
    assert (
        "counterfactual-augmentation: 4 rows read: 3 kept, 0 changed, 0 dropped, 1 quarantined "
        "(longer than 200 characters); 1 added; 4 out (100 % of what was read)"
    ) in told_lines


def test_rows_that_are_held_out_and_those_of_a_second_source_count_in_the_file_that_they_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    long = "many " * 60
    first = [*("She sang in town." for _ in range(52)), " ", long]
    second = ["", *("He sang in town." for _ in range(39)), long]
    for name, texts in {"a": first, "b": second}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    text = RECIPE.format(place=tmp_path).replace('"rows.jsonl"', '["a.jsonl", "b.jsonl"]')
    (tmp_path / "own.toml").write_text(text.replace("max_steps", 'constraint = "lagrangian"\nmax_steps'))
    folder = api.run(tmp_path / "own.toml").folder
    kept = lines_of(folder / "quarantine/counterfactual-augmentation.jsonl")
    assert [(r["source"], r["row"], r["step_row"]) for r in kept] == [("a.jsonl", 53, 46), ("b.jsonl", 40, 83)]
    refused = lines_of(folder / "quarantine/data.jsonl")
    assert [(r["source"], r["row"]) for r in refused] == [("a.jsonl", 52), ("b.jsonl", 0)]


@given(
    st.lists(st.lists(st.booleans(), max_size=6), min_size=1, max_size=3),
    st.sets(st.integers(0, 12), max_size=4),
)
def test_a_row_is_found_where_it_stood_before_others_were_taken_out(parts: list[list[bool]], held: set[int]) -> None:
    good = [(f"s{k}", row) for k, part in enumerate(parts) for row, fit in enumerate(part) if fit]
    refused = [[row for row, fit in enumerate(part) if not fit] for part in parts]
    sources = RowSources(tuple(Source(f"s{k}", sum(part), refused[k]) for k, part in enumerate(parts)))
    left = [place for number, place in enumerate(good) if number not in held]
    narrowed = sources.without(sorted(held))
    assert [narrowed.of(number) for number in range(len(left))] == left
    assert narrowed.of(-1) is None and sources.of(len(good)) is None


# ------------------------------------------------------------------------------------------------- what must add up
def refusal(account: RowAccount, rows: int = 3) -> str:
    class Own(Plugin):
        """Gives the account of the test."""

        name = "own"

        @hookimpl
        def data(self, run: Any, split: str, model: Any) -> DataTransform:
            return DataTransform(fn=lambda rows: rows.select([0]), account=lambda: account)

    with pytest.raises(PluginFault) as error:
        evenhand.transform_data(Dataset.from_dict({"text": ["a b"] * rows}), *tiny_causal(), [Own()])
    assert "step 'own'" in str(error.value)
    return error.value.what


def test_an_account_that_does_not_add_up_is_refused(tmp_path: Path) -> None:
    head = "its account of the rows does not add up: "
    assert refusal(RowAccount(read=2, kept=1, dropped={"long": 1})) == (
        head + "it says that it read 2 rows, it was given 3"
    )
    assert refusal(RowAccount(read=3, kept=1, dropped={"long": 1})) == (
        head + "1 kept, 0 changed, 1 dropped and 0 quarantined do not make 3 read"
    )
    assert refusal(RowAccount(read=3, kept=1, added=1, dropped={"long": 2})) == (
        head + "1 kept, 0 changed and 1 added do not make the 1 row that it returned"
    )
    path = tmp_path / "q.jsonl"
    path.write_text("{}\n")
    assert refusal(RowAccount(read=3, kept=1, quarantined={"odd": 2}, quarantine=path)) == (
        head + "2 quarantined, 1 in the quarantine file"
    )


def test_a_step_without_an_account_is_counted_by_the_host() -> None:
    def rows(*texts: str) -> Dataset:
        return Dataset.from_dict({"text": list(texts)})

    same = derived_account(rows("a", "b", "b"), rows("b", "a", "b"))
    assert (same.kept, same.changed, same.added, same.dropped) == (3, 0, 0, {})
    rewritten = derived_account(rows("a", "b", "b"), rows("a", "B", "b"))
    assert (rewritten.kept, rewritten.changed) == (2, 1)
    shorter = derived_account(rows("a", "b", "b"), rows("b"))
    assert (shorter.kept, shorter.dropped) == (1, {"the step gives no reason": 2})
    longer = derived_account(rows("a"), rows("a", "a", "c"))
    assert (longer.kept, longer.added) == (1, 2)


def test_the_proof_says_why_it_has_fewer_new_rows_than_the_account_has_changed() -> None:
    """The genders of two sentences are exchanged, and each becomes what the other was; a third becomes new."""
    before = Dataset.from_dict({"text": ["She left.", "He left.", "He sang.", *["Rain."] * 1243]})
    after = Dataset.from_dict({"text": ["He left.", "She left.", "She sang.", *["Rain."] * 1243]})
    assert data_proof(before, after, 3).what == (
        "1,246 rows became 1,246: 1 new, 1 gone; of 3 changed or added, 2 came to be as another row had been"
    )
    assert data_proof(before, after, 1).what == "1,246 rows became 1,246: 1 new, 1 gone"


texts = st.lists(st.sampled_from("abcd"), max_size=8)


@given(texts.filter(bool), texts.filter(bool))
def test_what_the_host_counts_always_adds_up(before: list[str], after: list[str]) -> None:
    account = derived_account(Dataset.from_dict({"text": before}), Dataset.from_dict({"text": after}))
    assert account.problem(len(before), len(after)) is None


def test_one_line_says_it_all() -> None:
    account = RowAccount(
        read=1200, kept=1000, changed=80, added=20, dropped={"too short": 100, "too odd": 10}, quarantined={"x": 10}
    )
    record = RowRecord.model_validate(as_record(account, file="", facts={}))
    assert line(record) == (
        "1,200 rows read: 1,000 kept, 80 changed, 110 dropped (too short: 100, too odd: 10), 10 quarantined (x); "
        "20 added; 1,100 out (91.7 % of what was read)"
    )
    assert record.table == [
        ("read", 1200), ("kept as they are", 1000), ("changed", 80), ("dropped: too short", 100),
        ("dropped: too odd", 10), ("quarantined: x", 10), ("added", 20), ("out", 1100),
    ]  # fmt: skip

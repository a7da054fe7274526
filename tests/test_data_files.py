"""A user's own files: which kinds are read, what is left out of them, and what is said of those that cannot be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from evenhand.data import Loaded, load_data
from evenhand.data_columns import columns_of
from evenhand.errors import DataNotFound, DataUnreadable, EvenhandError
from evenhand.recipe_model import DataSection

KNOWN = (
    "  read are .txt, .jsonl, .json, .csv, .tsv, .parquet, all but the last also packed (.gz behind it); and folders "
    "of such files\n"
)
HALF = "half of a surrogate pair, which no tokenizer reads"


def loaded(path: Path, **values: Any) -> Loaded:
    return load_data(DataSection(train=str(path), **values), offline=True)


def texts(path: Path, **values: Any) -> list[str]:
    return list(loaded(path, **values).rows["text"])


def told(path: Path, kind: type[EvenhandError], **values: Any) -> str:
    with pytest.raises(kind) as caught:
        loaded(path, **values)
    return str(caught.value)


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# ------------------------------------------------------------------------------------------- rows without any text
def test_turns_of_a_conversation_are_no_text_without_a_tokenizer(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    path = tmp_path / "chat.jsonl"
    path.write_text(lines(*[{"messages": turns}] * 3))
    said = f"data '{path}': the data set has no row with text\n  3 of 3 rows: not text but list"
    assert told(path, DataNotFound, column="messages") == said


def test_why_no_row_has_text_is_counted_and_columns_of_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines({"text": [1], "title": "One."}, {"text": None, "title": "Two."}, {"text": [2], "title": ""}))
    assert told(path, DataNotFound) == (
        f"data '{path}': the data set has no row with text\n"
        "  2 of 3 rows: not text but list; 1 of 3 rows: no text; columns of text: title\n  set data.column"
    )
    path = tmp_path / "a.csv"
    path.write_text("text\n1\n2\n")
    assert told(path, DataNotFound) == (
        f"data '{path}': the data set has no row with text\n  2 of 2 rows: not text but int"
    )
    path = tmp_path / "a.txt"
    path.write_text("\n \n")
    assert told(path, DataNotFound) == f"data '{path}': the data set has no row with text\n  it has no rows"


def test_a_column_that_is_named_takes_the_place_of_one_that_is_called_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines({"body": "One.", "text": "not read", "n": 1}))
    assert loaded(path, column="body").rows.to_list() == [{"text": "One.", "n": 1}]


# ------------------------------------------------------------------------------------------------- surrogate pairs
def test_a_row_with_half_of_a_surrogate_pair_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"text": f"Text {k}."}) for k in range(60_000)]
    rows[7] = json.dumps({"text": "A whole pair: \N{GRINNING FACE}."})
    rows += ["", '{"text": "He \\ud83d is."}', '{"text": "She."}']  # an empty line is no row
    path.write_text("\n".join(rows) + "\n")
    found = loaded(path)
    assert len(found.rows) == 60_001 and found.rows["text"][7] == "A whole pair: \N{GRINNING FACE}."
    assert found.rows["text"][-2:] == ["Text 59999.", "She."]
    assert [(row.row, row.reason, row.text) for row in found.refused] == [
        (60_000, HALF, '{"text": "He \\ud83d is."}')
    ]  # fmt: skip


def test_so_is_one_with_a_half_in_another_column_or_within_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "One.", "tags": ["x"]}\n{"text": "Two.", "tags": ["\\uDE00"]}\n{"text": "\\ud83d", "tags": []}\n'
        '{"text": "Three.", "tags": []}\n{"text": "Four.", "tags": []}\nno JSON\n'
    )
    found = loaded(path, limit=2)
    assert found.rows["text"][:] == ["One.", "Three."]
    assert [(row.row, row.reason) for row in found.refused] == [(1, HALF), (2, HALF)]
    assert told(path, DataUnreadable) == (
        f"{path}: this is no JSON that can be read\n"
        "  line 6 is not JSON: Expecting value: line 1 column 1 (char 0)\n  mend the file"
    )


def test_places_in_several_files_count_from_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines({"text": "One."}, {"text": "Two."}))
    (tmp_path / "b.jsonl").write_text('{"text": "\\ud83d"}\n{"text": "Three."}\n')
    found = loaded(tmp_path)
    assert found.rows["text"][:] == ["One.", "Two.", "Three."]
    assert [(row.row, row.reason) for row in found.refused] == [(2, HALF)]
    found = loaded(tmp_path, limit=3)
    assert found.rows["text"][:] == ["One.", "Two.", "Three."] and [row.row for row in found.refused] == [2]


# ---------------------------------------------------------------------------------------------------------- kinds
@pytest.mark.parametrize("limit", [None, 1, 5])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("A.TXT", "He.\nShe.\n"), ("A.JSONL", lines({"text": "He."}, {"text": "She."})),
        ("a.Csv", "text\nHe.\nShe.\n"), ("a.txt.gz", "He.\nShe.\n"), ("A.TSV.GZ", "text\nHe.\nShe.\n"),
        ("a.jsonl.gz", lines({"text": "He."}, {"text": "She."})), ("a.csv.gz", "text\nHe.\nShe.\n"),
        ("a.json.gz", json.dumps([{"text": "He."}, {"text": "She."}])),
    ],
)  # fmt: skip
def test_endings_in_any_case_and_packed_files_are_read(
    tmp_path: Path, name: str, content: str, limit: int | None
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.lower().endswith(".gz") else content.encode())
    assert texts(path, limit=limit) == ["He.", "She."][:limit]
    if not name.lower().startswith(("a.txt", "a.json.")):
        assert columns_of(path) == ["text"]


@pytest.mark.parametrize("name", ["a.md", "a.parquet.gz", "a"])
def test_a_file_of_another_kind_is_there_and_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("He.\n")
    assert told(path, DataUnreadable) == (
        f"training text '{path}' is there, and of no kind that can be read\n{KNOWN}"
        "  save it as one of these: plain text as .txt, in which each line is a row"
    )


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", ""), ("a.jsonl", "\n \n"), ("a.csv", ""), ("a.csv", "text,title\n"), ("a.tsv", ""), ("a.json", ""),
     ("a.json", "[]\n"), ("a.jsonl.gz", "")],
)  # fmt: skip
def test_a_file_without_rows_is_told(tmp_path: Path, name: str, content: str, limit: int | None) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert told(path, DataUnreadable, limit=limit) == f"{path}: the file has no rows\n  name a file with rows"


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize(("name", "mark"), [("rows.csv", ","), ("rows.tsv", "\t")])
def test_two_columns_of_one_name_are_told(tmp_path: Path, name: str, mark: str, limit: int | None) -> None:
    file = tmp_path / name
    file.write_text(mark.join(("text", "id", "text")) + "\n" + mark.join(("a", "1", "b")) + "\n", encoding="utf-8")
    assert told(file, DataUnreadable, limit=limit) == (
        f"{file}, line 1: two columns have the name 'text'\n"
        "  its columns: text, id, text\n"
        "  give each column a name of its own"
    )


def test_a_file_that_is_not_packed_as_its_name_says_is_told(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "a.txt.gz"):
        (tmp_path / name).write_text("He.\n")
        assert told(tmp_path / name, DataUnreadable).startswith(f"{tmp_path / name}: ")
        (tmp_path / name).write_bytes(gzip.compress(b'{"text": "He."}\n' * 1000)[:-12])
        assert told(tmp_path / name, DataUnreadable).startswith(f"{tmp_path / name}: ")


# -------------------------------------------------------------------------------------------------------- folders
@pytest.mark.parametrize("limit", [None, 1, 3, 4, 9])
@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".csv"])
def test_a_folder_is_its_files_of_one_kind_in_the_order_of_their_names(
    tmp_path: Path, kind: str, limit: int | None
) -> None:
    parts = {"b": ["Three.", "Four."], "a": ["One.", "Two."], "c": ["Five."]}
    for name, content in parts.items():
        rows = {
            ".txt": content,
            ".jsonl": [json.dumps({"text": text}) for text in content],
            ".csv": ["text", *content],
        }[kind]
        (tmp_path / f"{name}{kind}").write_text("\n".join(rows) + "\n")
    (tmp_path / "README.md").write_text("Not read.\n")
    (tmp_path / f".hidden{kind}").write_text("Not read.\n")
    (tmp_path / f"below{kind}").mkdir()
    found = loaded(tmp_path, limit=limit)
    assert found.rows["text"][:] == ["One.", "Two.", "Three.", "Four.", "Five."][:limit]
    assert found.source == f"folder {tmp_path.name}"


def test_a_folder_of_several_kinds_or_of_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "read.md").write_text("He.\n")
    assert told(tmp_path, DataUnreadable) == (
        f"{tmp_path}: the folder has no file that can be read, and is no data set that was saved with `save_to_disk`\n"
        f"{KNOWN}  name another folder, or a file"
    )
    for name in ("a.txt", "b.TXT", "c.jsonl"):
        (tmp_path / name).write_text("He.\n")
    for limit in (None, 1):
        assert told(tmp_path, DataUnreadable, limit=limit) == (
            f"{tmp_path}: the folder has files of several kinds\n  1 .jsonl, 2 .txt\n"
            "  name the files that you mean, as a list"
        )


def test_a_saved_data_set_is_one_whatever_lies_beside_it(tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["One."]}).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "notes.txt").write_text("Not read.\n")
    assert texts(tmp_path / "saved") == texts(tmp_path / "saved", limit=3) == ["One."]


# ------------------------------------------------------------------------------------------- tab-separated values
@pytest.mark.parametrize("limit", [None, 3])
def test_quotation_marks_in_tab_separated_values_are_text(tmp_path: Path, limit: int | None) -> None:
    path = tmp_path / "q.tsv"
    path.write_text('text\tlabel\n"He said\t1\nShe left\t2\nThey "x" y\t3\n')
    found = loaded(path, limit=limit)
    assert found.rows["text"][:] == ['"He said', "She left", 'They "x" y'] and found.rows["label"][:] == [1, 2, 3]
    path.write_text('"a\tb\nHe.\t1\n')
    assert columns_of(path) == ['"a', "b"]

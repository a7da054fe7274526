"""Which part of a data set is read: splits of a saved one, configurations and splits of one on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest
from datasets import Dataset, DatasetDict

from evenhand import data_files
from evenhand.builtin_texts import read
from evenhand.data import load_data
from evenhand.errors import DataNotFound, DataUnreadable, UsageError
from evenhand.recipe_model import DataSection
from evenhand_sdk.tiny import tiny_causal


def section(**values: Any) -> DataSection:
    return DataSection(**values)


def rows(*texts: str) -> Dataset:
    return Dataset.from_dict({"text": list(texts)})


def test_the_split_of_a_saved_data_set(tmp_path: Path) -> None:
    DatasetDict(train=rows("One."), extra=rows("Two.", "Three.")).save_to_disk(tmp_path / "saved")
    name = str(tmp_path / "saved")
    assert load_data(section(train=name), offline=True).rows["text"][:] == ["One."]
    assert load_data(section(train=name, split="extra"), offline=True).rows["text"][:] == ["Two.", "Three."]
    with pytest.raises(DataNotFound) as caught:
        load_data(section(train=name, split="test"), offline=True)
    assert str(caught.value) == f"{name}: it has no split 'test'\n  its splits: train, extra\n  set data.split"


def test_several_sources_are_read_one_after_another(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("One.\n\nTwo.\n")
    (tmp_path / "yours.csv").write_text("sentence,label\nThree.,1\nFour.,0\n")
    names = (str(tmp_path / "mine.txt"), str(tmp_path / "yours.csv"), "builtin:everyday")
    found = load_data(section(train=names, column="sentence"), offline=True)
    assert found.rows.column_names == ["text"] and found.rows["text"][:4] == ["One.", "Two.", "Three.", "Four."]
    assert len(found.rows) == 4 + len(read("everyday"))
    assert found.source == "file mine.txt and file yours.csv and builtin:everyday (shipped with evenhand)"
    assert found.licence == "Apache-2.0"
    limited = load_data(section(train=names, column="sentence", limit=3), offline=True)
    assert limited.rows["text"][:] == ["One.", "Two.", "Three."]
    with pytest.raises(DataNotFound) as caught:
        load_data(section(train=names, column="body"), offline=True)
    assert str(caught.value) == (
        f"data '{tmp_path}/yours.csv': the data set has no column 'body'\n  its columns: sentence, label\n"
        "  set data.column"
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A hub with one data set of two configurations, and what the library was asked for."""
    calls: list[tuple[Any, ...]] = []

    def load_dataset(name: str, config: str | None = None, *, split: str, revision: str = "") -> Dataset:
        calls.append((name, config, split, revision))
        if not revision:
            raise FileNotFoundError("no copy")
        if config is None:
            raise ValueError("Config name is missing.\nPlease pick one among the available configs: ['en', 'fr']")
        return rows("Bonjour.")

    class HfApi:
        def dataset_info(self, name: str, files_metadata: bool) -> Any:
            siblings = [SimpleNamespace(size=2_000_000), SimpleNamespace(size=None)]
            return SimpleNamespace(siblings=siblings, card_data={"license": ["mit"]}, sha="abc")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub, "HfApi", HfApi)
    return calls


def test_configuration_and_split_reach_the_hub_and_the_size_is_said_first(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = load_data(section(train="owner/name", config="fr", split="validation"), offline=False)
    assert asked == [("owner/name", "fr", "validation", ""), ("owner/name", "fr", "validation", "abc")]
    assert (found.source, found.licence, found.rows["text"][:]) == ("hub owner/name", "mit", ["Bonjour."])
    assert "owner/name: downloading at most 2.0 MB from the hub" in capsys.readouterr().err


def test_a_missing_configuration_is_named_with_those_there_are(asked: list[tuple[Any, ...]]) -> None:
    with pytest.raises(DataNotFound) as caught:
        load_data(section(train="owner/name"), offline=False)
    said = str(caught.value)
    assert "available configs: ['en', 'fr']" in said and said.endswith(
        "name a file, a folder or a hub id; data.config and data.split choose a part of hub data"
    )


# --------------------------------------------------------------------------------------------------- large files
def written(folder: Path, name: str, texts: list[Any]) -> str:
    """A file with a column `body` beside a number, or with lines; gives its path."""
    import json

    import pyarrow
    import pyarrow.parquet

    path = folder / name
    if path.suffix == ".txt":
        path.write_text("".join(f"{text or ''}\n" for text in texts), encoding="utf-8")
    elif path.suffix == ".jsonl":
        rows = ({"body": text, "n": k} for k, text in enumerate(texts))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({"body": texts, "n": range(len(texts))}), path)
    else:
        sign = "\t" if path.suffix == ".tsv" else ","
        lines = [f"body{sign}n", *(f"{text or ''}{sign}{k}" for k, text in enumerate(texts))]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv", "a.parquet"])
@pytest.mark.parametrize("limit", [1, 3, 1500, 9000])
def test_a_limit_gives_the_first_rows_with_text_and_what_reading_all_would_give(
    tmp_path: Path, name: str, limit: int
) -> None:
    texts = [None if k % 5 == 1 else f"Text {k}." for k in range(2500)]
    path = written(tmp_path, name, texts)
    all_of = load_data(section(train=path, column="body" if name != "a.txt" else "text"), offline=True)
    found = load_data(section(train=path, column="body" if name != "a.txt" else "text", limit=limit), offline=True)
    expected = [text for text in texts if text][:limit]
    assert found.rows["text"][:] == expected == all_of.rows["text"][:limit]
    assert found.rows.column_names == all_of.rows.column_names
    assert {row.row for row in found.refused} <= {row.row for row in all_of.refused}


def test_nothing_behind_the_limit_is_read(tmp_path: Path) -> None:
    good = "".join(f'{{"text": "Text {k}.", "more": "{"x" * 1000}"}}\n' for k in range(12_000))
    (tmp_path / "a.jsonl").write_text(good + "this is no JSON\n")
    assert load_data(section(train=str(tmp_path / "a.jsonl"), limit=5), offline=True).rows["text"][4] == "Text 4."
    (tmp_path / "a.txt").write_bytes(b"One.\nTwo.\n" + b"Line.\n" * 20_000 + b"\xff\n")
    assert load_data(section(train=str(tmp_path / "a.txt"), limit=2), offline=True).rows["text"][:] == ["One.", "Two."]
    with pytest.raises(DataUnreadable, match="the text is not in UTF-8"):
        load_data(section(train=str(tmp_path / "a.txt"), limit=30_000), offline=True)


def test_a_limit_over_several_files_counts_all_of_them(tmp_path: Path) -> None:
    one = written(tmp_path, "a.jsonl", ["One.", None, "Two."])
    other = written(tmp_path, "b.csv", ["Three.", "Four."])
    assert load_data(section(train=(one, other), column="body", limit=3), offline=True).rows["text"][:] == [
        "One.", "Two.", "Three.",
    ]  # fmt: skip


def test_a_text_larger_than_memory_needs_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "a.txt", [f"Line {k}." for k in range(300)])
    monkeypatch.setattr(data_files, "_memory", lambda: 1000)
    with pytest.raises(UsageError) as caught:
        load_data(section(train=path), offline=True)
    assert str(caught.value).startswith(f"data {path!r}: the text has 0.0 GB, and this machine 0.0 GB of memory\n")
    assert "set data.limit: so many rows are read from its beginning, as a stream" in str(caught.value)
    assert len(load_data(section(train=path, limit=7), offline=True).rows) == 7
    monkeypatch.setattr(data_files, "_memory", lambda: None)
    assert len(load_data(section(train=path), offline=True).rows) == 300


def test_lines_of_a_large_file_are_kept_on_disk_and_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffOne.\r\n\n  Two. \u2028Three.\n".encode())
    small = data_files.rows_of(path).rows
    monkeypatch.setattr(data_files, "LARGE", 1)
    large = data_files.rows_of(path).rows
    assert large["text"][:] == small["text"][:] == ["One.", "Two.", "Three."]
    assert large.cache_files and not small.cache_files
    path.write_bytes(b"Another.\n")
    assert data_files.rows_of(path).rows["text"][:] == ["Another."]  # what was kept of the file as it was is not taken
    path.write_bytes(b"\xff\n")
    with pytest.raises(DataUnreadable, match="the text is not in UTF-8"):
        data_files.rows_of(path)


# ----------------------------------------------------------------------------------------------------------- chats
CHATS = [
    [{"role": "user", "content": "Who is she?"}, {"role": "assistant", "content": "She is a judge."}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello."}],
    None,
    [{"role": "user", "content": None}],
]


def chat_file(folder: Path) -> str:
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": chat, "n": n}) + "\n" for n, chat in enumerate(CHATS)))
    return str(path)


@pytest.mark.parametrize("limit", [None, 2])
def test_chats_are_read_in_the_template_of_the_model(limit: int | None, tmp_path: Path) -> None:
    _, tokenizer = tiny_causal()
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('No system role.') }}"
        "{% endif %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    begin = "" if tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id] else tokenizer.bos_token
    given = section(train=chat_file(tmp_path), column="messages", limit=limit)
    found = load_data(given, offline=True, tokenizer=tokenizer)
    assert found.rows["text"][:] == [f"{begin}[user] Who is she?\n[assistant] She is a judge.\n"]
    assert found.rows["n"][:] == [0]
    assert [(r.row, r.reason) for r in found.refused] == [
        (1, "a chat that the model's template refuses"),
        (2, "no text"),
        (3, "no chat: a turn has no role, or no text"),
    ][: 1 if limit else 3]


def test_chats_may_be_all_that_a_file_has(tmp_path: Path) -> None:
    _, tokenizer = tiny_causal()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}. {% endfor %}"
    path = tmp_path / "only.jsonl"
    path.write_text(json.dumps({"messages": CHATS[0]}) + "\n")
    found = load_data(section(train=str(path), column="messages"), offline=True, tokenizer=tokenizer)
    assert found.rows.to_dict() == {"text": ["Who is she?. She is a judge.. "]}
    turns = [{"from": "human", "value": "Hello."}, {"from": "gpt", "value": "Hi."}]
    path.write_text(json.dumps({"text": "the place is taken", "conversations": turns}) + "\n")
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    found = load_data(section(train=str(path), column="conversations"), offline=True, tokenizer=tokenizer)
    assert found.rows.to_dict() == {"text": ["user: Hello. assistant: Hi. "]}


def test_chats_need_a_tokenizer_with_a_template(tmp_path: Path) -> None:
    _, tokenizer = tiny_causal()
    tokenizer.chat_template = None
    name = chat_file(tmp_path)
    with pytest.raises(UsageError) as caught:
        load_data(section(train=name, column="messages"), offline=True, tokenizer=tokenizer)
    assert str(caught.value) == (
        f"data {name!r}: its rows are chats, and the tokenizer of the model has no chat template\n"
        "  use a model that was made for chats, or set data.column to one of text"
    )

"""Which part of a data set is read: splits of a saved one, configurations and splits of one on the hub."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest
from datasets import Dataset, DatasetDict

from evenhand.builtin_texts import read
from evenhand.data import load_data
from evenhand.errors import DataNotFound
from evenhand.recipe_model import DataSection


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

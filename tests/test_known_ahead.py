"""What a name or the beginning of a file says before anything is loaded, and what it leaves open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenhand.data_columns import columns_of
from evenhand.named_here import known_kind, known_shape
from evenhand.resolution import impossible


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("LlamaForCausalLM", "causal"),
        ("GPT2LMHeadModel", "causal"),
        ("BertForMaskedLM", "masked"),
        ("XLMWithLMHeadModel", None),
        ("FlaubertWithLMHeadModel", None),
    ],
)
def test_the_kind_of_a_folder_is_that_of_its_class_where_the_class_has_one(
    architecture: str, kind: str | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}), encoding="utf-8")
    found = known_kind(str(tmp_path))
    assert (found and found[0]) == kind


def test_a_copy_in_the_cache_of_the_hub_is_read_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    assert (known_kind("owner/small"), known_shape("owner/small")) == (None, None)
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--owner--small" / "snapshots" / commit
    folder.mkdir(parents=True)
    (folder.parent.parent / "refs").mkdir()
    (folder.parent.parent / "refs" / "main").write_text(commit)
    fields = {"model_type": "llama", "num_hidden_layers": 7, "architectures": ["LlamaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(fields))
    assert known_kind("owner/small") is None  # a download that was broken off
    (folder / "model.safetensors").touch()
    assert known_kind("owner/small") == ("causal", "owner/small")
    assert (shape := known_shape("owner/small")) and (shape.model_type, shape.layers) == ("llama", 7)


def test_the_folder_of_somebody_who_is_not_here_is_a_folder_that_is_not_here() -> None:
    assert known_kind("~nobody-of-this-name/model") is None
    assert (told := impossible("~nobody-of-this-name/model")) and told.exit_code == 5


@pytest.mark.parametrize(("suffix", "cell"), [(".csv", ","), (".tsv", "\t")])
def test_blank_lines_before_the_names_of_columns_name_none(suffix: str, cell: str, tmp_path: Path) -> None:
    path = tmp_path / f"own{suffix}"
    path.write_text(f"\n\nid{cell}text\n1{cell}a\n", encoding="utf-8")
    assert columns_of(path) == ["id", "text"]

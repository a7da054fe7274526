"""What a name or the beginning of a file says before anything is loaded, and what it leaves open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenhand.data_columns import columns_of
from evenhand.named_here import known_kind


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


@pytest.mark.parametrize(("suffix", "cell"), [(".csv", ","), (".tsv", "\t")])
def test_blank_lines_before_the_names_of_columns_name_none(suffix: str, cell: str, tmp_path: Path) -> None:
    path = tmp_path / f"own{suffix}"
    path.write_text(f"\n\nid{cell}text\n1{cell}a\n", encoding="utf-8")
    assert columns_of(path) == ["id", "text"]

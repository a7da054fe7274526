"""`docs/write-a-plugin.md` is the scaffold: what it quotes is what `toolkit new` writes, what it lists is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evenhand_sdk import testing
from evenhand_sdk.conformance import CHECKS
from evenhand_sdk.scaffold import create

PAGE = (Path(__file__).parents[2] / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")


def section(number: int) -> str:
    return PAGE.split(f"\n## {number}. ")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("number", "language", "file", "count"),
    [
        (2, "toml", "pyproject.toml", 1),
        (3, "python", "src/job_titles/plugin.py", 4),
        (5, "python", "tests/test_plugin.py", 2),
        (6, "toml", "recipe.toml", 2),
    ],
)
def test_the_quoted_code_is_the_generated_code(
    tmp_path: Path, number: int, language: str, file: str, count: int
) -> None:
    text = (create("job-titles", tmp_path) / file).read_text()
    blocks = re.findall(rf"```{language}\n(.*?)\n```", section(number), re.DOTALL)[:count]
    assert len(blocks) == count
    for block in blocks:
        assert block in text


def test_the_table_of_files_is_complete(tmp_path: Path) -> None:
    project = create("job-titles", tmp_path)
    named = set(re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", section(1), re.MULTILINE))))
    there = {str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()}
    assert named == there - {"src/job_titles/__init__.py"}


def test_the_tables_of_checks_and_functions_are_true() -> None:
    assert re.findall(r"^\| `(\w+)` \|", section(5), re.MULTILINE) == list(CHECKS)
    named = re.findall(r"`(\w+)\(", "\n".join(re.findall(r"^\| (`\w+\(.*?) \|", section(5), re.MULTILINE)))
    assert named == [
        "contributions", "apply_data", "train", "apply_architecture", "logits", "next_token_logprobs", "answers",
    ]  # fmt: skip
    assert all(callable(getattr(testing, name)) for name in named)

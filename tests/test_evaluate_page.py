"""The page on evaluation shows what the command prints: the same lines on a tiny model, but for its numbers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from evenhand.cli import toolkit
from evenhand.mirrors import CROWS_PAIRS
from evenhand_sdk.tiny import save_tiny

PAGE = Path(__file__).parents[1] / "docs" / "evaluate.md"
DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[2] / "shared" / "data")
COMMAND = "toolkit eval smollm2-135m-instruct --benchmark crows-pairs --benchmark perplexity"


def words(text: str) -> list[str]:
    """The words between the first line and the folder, in their order; numbers and the number format as signs."""
    body = text.split("\n", 1)[1].split("Where it is")[0]
    body = re.sub(r"\b(?:bf16|float32)$", "FORMAT", body, flags=re.MULTILINE)
    body = re.sub(r"−?\d[\d,.]*(?:e\d+)?(?<![,.])", "#", body)
    return body.split()


@pytest.mark.realdata
@pytest.mark.usefixtures("own_cache")
@pytest.mark.skipif(not (DATA / CROWS_PAIRS.path).is_file(), reason="the CrowS-Pairs file is not here")
def test_the_sample_has_the_lines_that_the_command_prints(tmp_path, monkeypatch):
    page = PAGE.read_text(encoding="utf-8")
    assert COMMAND in page
    (sample,) = [block for block in page.split("```") if "measured, nothing changed" in block]
    save_tiny(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENHAND_DATA", str(DATA))
    found = CliRunner().invoke(
        toolkit, ["eval", "./tiny", *COMMAND.split()[3:], "--limit", "60", "--set", "evaluation.resamples=200"]
    )
    assert found.exit_code == 0, found.stderr
    assert words(sample.strip()) == words(found.stdout)

"""The plugin that README.md shows is one that works: it passes the conformance checks and a run uses it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from evenhand.known_plugins import KNOWN_PLUGINS
from evenhand_sdk.conformance import check_plugin

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The README's block as a module of an installed distribution that holds nothing else."""
    section = README.read_text(encoding="utf-8").split("\n## A plugin in twenty lines\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    site = tmp_path / "site"
    about = site / "readme_plugin-0.1.0.dist-info"
    about.mkdir(parents=True)
    (site / "readme_plugin.py").write_text(block, encoding="utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: readme-plugin\nVersion: 0.1.0\n\nIt has `flatter`.\n")
    (about / "entry_points.txt").write_text("[evenhand.plugins]\nflatter = readme_plugin:Flatter\n")
    monkeypatch.syspath_prepend(str(site))
    __import__("readme_plugin")
    yield sys.modules["readme_plugin"]
    del sys.modules["readme_plugin"]


@pytest.mark.slow
def test_the_plugin_of_the_readme_passes_the_conformance_checks(shown: ModuleType) -> None:
    report = check_plugin("flatter")
    assert report.demand() is report
    assert [row.check for row in report.rows if row.status == "skipped"] == ["rows_accounted", "saves_and_loads"]


def test_it_has_about_the_length_that_the_heading_says(shown: ModuleType) -> None:
    assert len(Path(str(shown.__file__)).read_text(encoding="utf-8").strip().splitlines()) <= 20


def test_nothing_that_is_built_is_said_not_to_be() -> None:
    (line,) = re.findall(r"^- Not built: (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in KNOWN_PLUGINS if name.replace("-", " ") in line.replace("-", " ").lower()] == []

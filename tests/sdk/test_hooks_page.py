"""The examples of docs/hooks.md are plugins that work: each passes the conformance checks as it is printed."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from evenhand.plugin import STAGES
from evenhand_sdk.conformance import check_plugin

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"
CHANGING = ("data", "objective", "architecture", "decoding")
"""Stages whose examples are mitigations: they have a strength."""
HEAD = """from evenhand_sdk import (
    Benchmark, DataTransform, DecodingRule, Fact, ItemRecord, LossTerm, Metric, Mitigation, ModelTransform, Monitor,
    Planted, PlantedModel, Plugin, Section, hookimpl,
)
"""


def examples() -> dict[str, str]:
    """Each hook with the code below its heading."""
    sections = PAGE.read_text(encoding="utf-8").split("\n# Contributions\n")[0].split("\n## `")[1:]
    blocks = {s.partition("(")[0]: re.findall(r"```python\n(.*?)```", s, re.DOTALL) for s in sections}
    assert list(blocks) == list(STAGES) and all(len(found) == 1 for found in blocks.values())
    return {stage: found[0] for stage, found in blocks.items()}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples as the plugins `page-STAGE` of an installed distribution."""
    site, code, points = tmp_path / "site", HEAD, "[evenhand.plugins]\n"
    for stage, block in examples().items():
        base = "Mitigation" if stage in CHANGING else "Plugin"
        code += (
            f'\n\nclass Page{stage.capitalize()}({base}):\n    """The example of the hook."""\n\n'
            f'    name = "page-{stage}"\n    summary = "An example."\n    source = "our own"\n'
            + textwrap.indent(block, "    ")
        )
        points += f"page-{stage} = hooks_page:Page{stage.capitalize()}\n"
    about = site / "hooks_page-0.1.0.dist-info"
    about.mkdir(parents=True)
    (site / "hooks_page.py").write_text(code, encoding="utf-8")
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: hooks-page\nVersion: 0.1.0\n\n" + " ".join(f"page-{s}" for s in STAGES)
    )
    (about / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("hooks_page", None)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_example_of_a_hook_passes_the_conformance_checks(installed: None, stage: str) -> None:
    report = check_plugin(f"page-{stage}")
    assert report.demand() is report
    assert [row.reason for row in report.rows if row.status == "passed" and row.reason] == [], "it has an effect"

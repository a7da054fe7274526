"""Facts of run.json that say which code made the numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evenhand.discovery import PluginRow
from evenhand.manifest import provenance


def step_of(package: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A step whose plugin is in a package with one file."""
    monkeypatch.syspath_prepend(str(package.parent))
    module = __import__(package.name)
    plugin = SimpleNamespace(__module__=module.__name__)
    row = PluginRow(name="p", distribution=name, version="1.0")
    return SimpleNamespace(row=row, plugin=plugin)


def test_each_distribution_has_a_digest_of_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    step = step_of(package, "some-distribution", monkeypatch)
    first = {d["name"]: d for d in provenance([step, step])}
    assert list(first) == ["evenhand", "some-distribution"]
    assert all(len(d["code"]) == 64 for d in first.values())
    (package / "__init__.py").write_text("x = 2\n")
    again = {d["name"]: d for d in provenance([step])}
    assert again["evenhand"] == first["evenhand"]
    assert again["some-distribution"]["code"] != first["some-distribution"]["code"]


def test_a_package_without_sources_in_one_folder_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no_init_here").mkdir()
    step = step_of(tmp_path / "no_init_here", "some-distribution", monkeypatch)
    assert provenance([step])[1]["code"] == ""


def test_a_sample_has_every_token_that_a_rule_changed_and_none_that_it_only_moved() -> None:
    from evenhand.contributions import Request, Response, TokenChange
    from evenhand.manifest import sample_dict

    asked = Request(prompt="The nurse said")
    changes = [
        TokenChange(position=k, rule="rule", before=" a", after=" a" if k % 2 else " the", total_variation=0.2)
        for k in range(60)
    ]
    plain = Response(request=asked, text=" so")
    found = sample_dict(plain, Response(request=asked, text=" this", changes=changes))
    assert [change["position"] for change in found["changes"]] == list(range(0, 60, 2))

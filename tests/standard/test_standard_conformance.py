"""Each plugin of the distribution against all conformance checks, on every kind of model it works on."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from evenhand.discovery import discover, load
from evenhand_sdk.conformance import parametrize_with_checks

OWN = [load(row) for row in discover().rows if row.distribution == "evenhand-standard"]
pytestmark = pytest.mark.slow


def test_all_plugins_of_the_distribution_are_checked() -> None:
    declared = tomllib.loads((Path(__file__).parents[2] / "plugins/standard/pyproject.toml").read_text("utf-8"))
    assert {plugin.name for plugin in OWN} == set(declared["project"]["entry-points"]["evenhand.plugins"])
    assert all(plugin.__module__.startswith("evenhand_standard.") for plugin in OWN)


@pytest.mark.every_case
@parametrize_with_checks(OWN)
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    check()

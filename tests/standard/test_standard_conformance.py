"""Each plugin of the distribution against all conformance checks, on every kind of model it works on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evenhand.discovery import discover, load
from evenhand_sdk.conformance import parametrize_with_checks

OWN = [load(row) for row in discover().rows if row.distribution == "evenhand-standard"]
pytestmark = pytest.mark.slow


def test_all_plugins_of_the_distribution_are_checked() -> None:
    assert len(OWN) == 50 and all(plugin.__module__.startswith("evenhand_standard.") for plugin in OWN)


@parametrize_with_checks(OWN)
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    check()

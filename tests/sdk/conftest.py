"""A fake installed distribution with one good plugin a stage; only these tests see it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

SITE = Path(__file__).parent / "site"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module with the example plugins, their distribution installed."""
    monkeypatch.syspath_prepend(str(SITE))
    __import__("evenhand_examples")
    return sys.modules["evenhand_examples"]

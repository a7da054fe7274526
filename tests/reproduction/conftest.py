"""Reproductions need real weights and published files: each test skips, with the reason, where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenhand.errors import ModelNotFound, Offline
from evenhand.mirrors import CROWS_PAIRS


@pytest.fixture(scope="session")
def real() -> Callable[[str], Any]:
    """A model of the shelf in float32, loaded once; skips where its weights cannot be had."""
    from evenhand.models import load, resolve

    found: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in found:
            try:
                found[name] = load(resolve(name), dtype="float32")
            except (ModelNotFound, Offline) as error:
                pytest.skip(f"the weights of {name} cannot be had here: {error.what}")
        return found[name]

    return get


@pytest.fixture
def published() -> None:
    """Skips where the file of CrowS-Pairs is not."""
    folder = os.environ.get("EVENHAND_DATA")
    if not folder or not (Path(folder) / CROWS_PAIRS.path).is_file():
        pytest.skip(f"EVENHAND_DATA names no folder with {CROWS_PAIRS.path}")

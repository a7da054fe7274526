"""The small host of these tests, and the skip where the library `adapters` cannot be imported."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_host import Host

from adapters_library import MISSING
from evenhand_sdk.tiny import CAUSAL_FAMILIES, tiny_causal, tiny_masked


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if MISSING:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(scope="session")
def _models() -> dict[str, tuple[Any, Any]]:
    return {}


@pytest.fixture
def tiny(_models: dict[str, tuple[Any, Any]]) -> Callable[[str], tuple[Any, Any]]:
    """family -> (a fresh copy of the tiny model, its tokenizer)."""

    def make(family: str) -> tuple[Any, Any]:
        if family not in _models:
            _models[family] = (tiny_causal if family in CAUSAL_FAMILIES else tiny_masked)(family)
        model, tokenizer = _models[family]
        return copy.deepcopy(model), tokenizer

    return make


@pytest.fixture
def host(tiny: Callable[[str], tuple[Any, Any]], tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """family -> a small host with a fresh tiny model."""
    yield lambda family="llama": Host(family, *tiny(family), tmp_path)

"""What all tests share: a cache of their own, one thread, plugins of the trial distribution where asked for, and
`--each-value` for those who cannot wait for every case."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from each_value import thinned

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# How long an example takes is up to the machine and to what else it does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
TRIAL = Path(__file__).parent / "trial_site"
FROZEN = pytest.StashKey[int]()
"""How many modules there were when what they hold was last taken out of collections."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--each-value",
        action="store_true",
        help="of a test with a matrix of cases, run those that together have each value of each parameter",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--each-value"):
        items[:], left = thinned(items)
        config.hook.pytest_deselected(items=left)


def freeze(config: pytest.Config) -> None:
    """What is there stays to the end, so collections pass it by: libraries, and the tests themselves.

    Each training of transformers ends with a full collection; among half a million objects of libraries that takes
    longer than the training of a tiny model.
    """
    gc.collect()
    gc.freeze()
    config.stash[FROZEN] = len(sys.modules)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """While tests are looked for, nothing is given up that a collection could find."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    freeze(session.config)


@pytest.fixture(autouse=True)
def progress_as_at_the_start() -> Iterator[None]:
    """A test that quiets the display does not quiet it for others."""
    from evenhand.progress import configure

    configure("auto")
    yield
    configure("auto")


@pytest.fixture(autouse=True)
def libraries_are_not_collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test imported for the first time is passed by in what follows."""
    yield
    if len(sys.modules) > request.config.stash[FROZEN] + 100:
        freeze(request.config)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user cache for this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EVENHAND_CACHE", str(folder))
    return folder


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The trial plugins are installed, as far as discovery can see."""
    monkeypatch.syspath_prepend(str(TRIAL))
    yield TRIAL
    for name in ("evenhand_trial", "evenhand_trial_faults"):
        sys.modules.pop(name, None)

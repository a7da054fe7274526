"""The probe plugins are installed, as far as discovery can see, and a tiny model lies in the working folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evenhand_sdk.tiny import save_tiny, tiny_sentences

SITE = Path(__file__).parent / "site"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with `tiny` (a model), `train.txt` and no other cache than its own."""
    monkeypatch.syspath_prepend(str(SITE))
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "tiny")
    (tmp_path / "train.txt").write_text("\n".join(tiny_sentences()[:40]) + "\n")
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "evenhand_probes"]:
        del sys.modules[name]

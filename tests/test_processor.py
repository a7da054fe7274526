"""The processor's name and maker, from what the system says of it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from evenhand.processor import mkl_is_at_home, processor_name

TWO = """processor\t: 0
vendor_id\t: {maker}
model name\t: {name}
flags\t\t: fpu: vme

processor\t: 1
vendor_id\t: Other
model name\t: Other
"""


@pytest.fixture(autouse=True)
def fresh():
    mkl_is_at_home.cache_clear()
    yield
    mkl_is_at_home.cache_clear()


def says(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def read(path: Path, *_: object, **__: object) -> str:
        assert str(path) == "/proc/cpuinfo"
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize(
    ("maker", "name", "home"),
    [
        ("GenuineIntel", "Intel(R) Xeon(R) Processor", True),
        ("AuthenticAMD", "AMD EPYC 9R14 96-Core Processor", False),
    ],
)
def test_the_first_processor_of_linux_counts(
    maker: str, name: str, home: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, TWO.format(maker=maker, name=name))
    assert processor_name() == name
    assert mkl_is_at_home() is home


@pytest.mark.parametrize(
    ("known", "home"), [("Intel64 Family 6 Model 143 Stepping 8, GenuineIntel", True), ("arm", False), ("", False)]
)
def test_elsewhere_what_python_knows_counts(known: str, home: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "processor", lambda: known)
    for text in (None, "Processor\t: ARMv7\n"):  # no such file; a system that names no maker
        says(monkeypatch, text)
        mkl_is_at_home.cache_clear()
        assert processor_name() == known
        assert mkl_is_at_home() is home

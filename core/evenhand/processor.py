"""What processor this is: its name for the record, and whether Intel's library of products is at home on it."""

from __future__ import annotations

import functools
import platform
from pathlib import Path


def processor_name() -> str:
    """The name that the system gives, `AMD EPYC ...`; without one, what Python knows."""
    return _facts().get("model name") or platform.processor()


@functools.cache
def mkl_is_at_home() -> bool:
    """Whether the maker is Intel, whose library MKL multiplies float32 for PyTorch and is half as fast elsewhere."""
    maker = _facts().get("vendor_id") or platform.processor()
    return "GenuineIntel" in maker


def _facts() -> dict[str, str]:
    """The first processor of Linux's list; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}

"""Which device a model goes to: the one that was asked for, where this machine has it."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable

from evenhand.errors import UsageError
from evenhand.near_match import did_you_mean

KINDS = ("auto", "cpu", "cuda", "mps", "xpu")
_FORM = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")


def name_problem(name: str) -> str | None:
    """Why a text names no device; None when it does. Whether a machine has it is not asked."""
    if _FORM.fullmatch(name):
        return None
    near = did_you_mean("cuda" if "gpu" in name.lower() else name, KINDS)
    return f"{name!r} is no device{near} (known: {', '.join(KINDS)}; one of several is cuda:1)"


def available() -> list[str]:
    """The devices of this machine, in torch's names."""
    import torch

    found = ["cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.xpu.is_available():
        found += ["xpu", *(f"xpu:{k}" for k in range(torch.xpu.device_count()))]
    return found


def chosen(name: str, *, where: str = "device") -> str:
    """The device behind a name; `auto` is CUDA where there is one, else the processor.

    Raises UsageError for a name that is none, and for a device that this machine does not have.
    """
    if problem := name_problem(name):
        raise UsageError(problem, where=where)
    found = available()
    if name == "auto":
        return "cuda" if "cuda" in found else "cpu"
    if name not in found:
        raise UsageError(
            f"this machine has no device {name!r}, or its torch cannot use it",
            where=where,
            known=f"available: {', '.join(found)}",
            do="name one of these, or auto",
        )
    return name


BF16_UNITS = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
"""Torch's questions to a processor, whether it multiplies bf16 itself; one that this torch does not know is a no."""


def bf16_units() -> list[str]:
    """Which of `BF16_UNITS` this processor answers with yes."""
    import torch

    return [name for name in BF16_UNITS if (ask := getattr(torch.cpu, name, None)) is not None and ask()]


SLOW = "this processor has no units for bf16: dtype float32 would be several times faster on it"


def tell_slow_format(dtype: str, device: str, on_event: Callable[[str], None]) -> None:
    """Say at once, and to `on_event`, when weights shall have a format that the processor can only imitate."""
    from evenhand.progress import announce

    if dtype == "bfloat16" and device == "cpu" and not bf16_units():
        announce(SLOW)
        on_event(SLOW)


def arithmetic(device: str) -> list[str]:
    """What of a device decides how its products are rounded: its kind, and its instructions or its name."""
    import torch

    place = torch.device(device)
    if place.type != "cpu":
        return [place.type, accelerator(device)]
    return ["cpu", platform.machine(), torch.backends.cpu.get_cpu_capability(), *bf16_units()]


def accelerator(device: str) -> str:
    """What a device calls itself, such as `NVIDIA H100 80GB HBM3`; empty for the processor."""
    import torch

    place = torch.device(device)
    if place.type == "cpu":
        return ""
    of_its_kind = getattr(torch, place.type, None)
    name = getattr(of_its_kind, "get_device_name", None)
    return str(name(place)) if name is not None else place.type

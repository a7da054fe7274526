"""How numbers are written in report, model card and terminal: digits from the interval, a real minus sign."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import datetime

from evenhand.report_results import Interval

DASH = "\u2013"
MINUS = "\u2212"
LARGE = 1e6
"""From here on numbers are written with a power of ten."""


def decimals(*intervals: Interval) -> int:
    """Decimals that show two significant digits of the narrowest interval, at most 5."""
    ends = [(i.low, i.high) for i in intervals if i.low is not None and i.high is not None]
    # A width that is only rounding error says nothing about precision.
    sizes = [(h - w) / 2 for w, h in ends if math.isfinite(h - w) and h - w > 1e-9 * max(abs(h), abs(w))]
    if not sizes:
        sizes = [abs(i.value) / 10 for i in intervals if i.value and math.isfinite(i.value)]
    if not sizes:
        return 2
    return max(0, min(5, 1 - math.floor(math.log10(min(sizes)))))


def value_decimals(*values: float | None) -> int:
    """Decimals that show about three significant digits of the smallest of some values."""
    sizes = [abs(v) for v in values if v and math.isfinite(v)]
    return max(0, min(6, 2 - math.floor(math.log10(min(sizes))))) if sizes else 2


def number(value: float | None, places: int = 2, *, signed: bool = False) -> str:
    """A number with a real minus sign and grouped thousands, or a dash where it is undefined.

    From a million on it has four digits and a power of ten, `1.712e9`: no table has room for more.
    """
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return (MINUS if value < 0 else "+" if signed else "") + "\u221e"
    text = f"{abs(value):,.{places}f}"
    if abs(value) >= LARGE:
        digits, _, power = f"{abs(value):.3e}".partition("e")
        text = f"{digits}e{int(power)}"
    zero = not text.strip("0.,")
    sign = "" if zero else MINUS if value < 0 else "+" if signed else ""
    return sign + text


def bounds(interval: Interval | None, places: int, *, signed: bool = False) -> str:
    """`[low, high]`, or nothing where there is no interval."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return f"[{number(interval.low, places, signed=signed)}, {number(interval.high, places, signed=signed)}]"


def percent(level: float) -> str:
    """A share as a percentage: 0.95 -> `95 %`."""
    return f"{100 * level:.3g} %"


def duration(seconds: float) -> str:
    """Seconds in words: `48 s`, `4 min 12 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(stamp: str) -> str:
    """An ISO 8601 time to the minute, with its zone: `2026-01-02 03:04 UTC`; other texts as they are."""
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".rstrip()


def tight(text: str) -> str:
    """A text in which no line break parts a number from its unit."""
    return re.sub(r"(?<=\d) (?=(?:%|s|min|h)(?![\w-]))|(?<=min) (?=\d)|(?<=h) (?=\d)", "\u00a0", text)


def listing(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(n: int, one: str, many: str | None = None) -> str:
    """`1 item`, `3 items`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def plain(value: object) -> str:
    """An option or a fact as a reader writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return DASH
    if isinstance(value, float):
        return f"{value:{'.4g' if abs(value) < 1000 else '.6g'}}".replace("-", MINUS)
    if isinstance(value, list | tuple):
        return ", ".join(plain(v) for v in value) or "none"
    if isinstance(value, dict):
        inner = (f"{k} ({plain(v)})" if isinstance(v, dict) else f"{k}: {plain(v)}" for k, v in value.items())
        return ", ".join(inner) or "none"
    return str(value)


def literal(value: object) -> str:
    """An option as it stands in a recipe."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "not set"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(v) for v in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {literal(v)}" for k, v in value.items()) + "}"
    return str(value)

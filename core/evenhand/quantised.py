"""Models that were saved quantised are refused before anything of them is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenhand.errors import UsageError

_FIELDS = ("quantization_config", "compression_config")


def demand_unquantised(fields: Mapping[str, Any], *, path: Path, where: str) -> None:
    """Raise UsageError for a configuration, read from `path`, that says that its weights are quantised.

    Whether transformers knows the method does not count: one that it does not know it would read as plain weights.
    """
    parts = (fields, fields.get("text_config"))
    found = next(((n, p[n]) for p in parts if isinstance(p, Mapping) for n in _FIELDS if p.get(n) is not None), None)
    if found is None:
        return
    name, settings = found
    raise UsageError(
        f"its weights are quantised ({_method(settings)}), and the toolkit changes and measures plain weights only",
        where=where,
        known=f"{path} has {name}; of quantised forms the toolkit reads GGUF files alone, which it dequantises",
        do="name the model that it was made from, unquantised, or a GGUF file of it",
    )


def _method(settings: Any) -> str:
    given = settings if isinstance(settings, Mapping) else {}
    method = given.get("quant_method")
    if method is None and (given.get("load_in_8bit") or given.get("load_in_4bit")):
        method = "bitsandbytes"  # its first configurations did not name it
    return str(method) if method else "by a method that is not named"

"""The files of a saved adapter, read and judged before a model is touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from evenhand_sdk import UsageError

CONFIG: Final = "adapter_config.json"
BEYOND: Final = {"phm_layer": "hypercomplex layers", "inv_adapter": "an invertible part at the embeddings"}
"""Settings of a bottleneck adapter that bring parts outside of its layers, or other ones than two linear maps."""


def read_config(path: Path) -> dict[str, Any]:
    """The library's configuration file beside an adapter or a fusion, which has what was kept with it.

    Raises UsageError for a file that is no JSON object with a `name` and, in `config`, the settings.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path.name} cannot be read", where=str(path.parent), known=str(error)) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path.name} is no table of settings", where=str(path.parent))
    if not isinstance(found.get("name"), str):
        raise UsageError(f"{path.name} does not say the name", where=str(path.parent), known="a text under `name`")
    if not isinstance(found.get("config"), dict):
        raise UsageError(f"{path.name} has no settings", where=str(path.parent), known="a table under `config`")
    return found


def demand_bottleneck(config: Mapping[str, Any], folder: Path) -> None:
    """UsageError unless the settings are those of a plain bottleneck adapter; other kinds would act nowhere here."""
    kind = config.get("architecture")
    more = [what for key, what in BEYOND.items() if config.get(key)]
    if kind is None and not more:
        return
    raise UsageError(
        f"this is no plain bottleneck adapter but {f'one of the kind {kind!r}' if kind else f'has {more[0]}'}",
        where=str(folder),
        known="what the library calls seq_bn, double_seq_bn and par_bn can be put onto a model",
        do="use the library `adapters` itself for this one",
    )

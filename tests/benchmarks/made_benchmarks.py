"""Every benchmark of ours on the tiny models, on a few items; those that read published files only where these are."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from pair_parts import measured_of, run_of

from evenhand.discovery import discover, load
from evenhand.errors import DataNotFound

DATA = os.environ.get("EVENHAND_DATA") or str(Path(__file__).parents[3] / "shared" / "data")
PLUGINS = {
    plugin.name: plugin
    for plugin in (load(row) for row in discover().rows if row.distribution == "evenhand-standard")
    if "evaluation" in plugin.stages()
}
WITHOUT_DATA = frozenset(
    {"counterfactual-sentiment", "disco", "pair-gap", "perplexity", "pronoun-agreement", "text-degeneration"}
)
"""Those that need no published file."""
FEW: dict[str, dict[str, Any]] = {
    "bold": {"limit": 9, "samples": 1, "max_new_tokens": 8, "toxicity": "none"},
    "classification-gaps": {"limit": 60},
    "counterfactual-sentiment": {"limit": 3, "samples": 2, "max_new_tokens": 8},
    "ethics": {"limit": 3},
    "perplexity": {"limit": 4},
    "real-toxicity-prompts": {"limit": 4, "samples": 1, "max_new_tokens": 8, "toxicity": "hurtlex"},
    "stereoset": {"limit": 8, "task": "both"},
    "text-degeneration": {"limit": 3, "samples": 2, "max_new_tokens": 8},
}
"""Options beside `example_options`; all others have a limit of 8."""
CASES = [
    pytest.param(name, kind, id=f"{name}-{kind}", marks=() if name in WITHOUT_DATA else pytest.mark.realdata)
    for name, plugin in sorted(PLUGINS.items())
    for kind in plugin.kinds
]
everywhere = pytest.mark.parametrize(("name", "kind"), CASES)


@functools.cache
def made(name: str, kind: str) -> list[Any]:
    """The benchmarks of a plugin on the tiny model of a kind; skips where a published file is not here."""
    plugin = PLUGINS[name]
    options = {**plugin.example_options, **FEW.get(name, {})}
    if "limit" in plugin.Options.model_fields:
        options.setdefault("limit", 8)
    if "data" in plugin.Options.model_fields and name not in WITHOUT_DATA:
        options["data"] = DATA
    try:
        found = plugin(**options).evaluation(run_of(family(kind), Path(tempfile.mkdtemp())))
    except DataNotFound as error:
        if name in WITHOUT_DATA:
            raise
        pytest.skip(f"its data are not here: {error.what}")
    return found if isinstance(found, list) else [found]


@functools.cache
def records_of(name: str, kind: str) -> list[tuple[Any, list[Any]]]:
    return [(each, list(each.score(measured_of(family(kind))))) for each in made(name, kind)]


def family(kind: str) -> str:
    return "bert" if kind == "masked" else "llama"

"""What the name of a model tells before anything is loaded: whether it is on this machine, and of what kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from evenhand import hub, own_shelf, shelf
from evenhand.errors import UsageError
from evenhand.model_shape import ModelShape, shape_of
from evenhand.resolution import at_home, is_path
from evenhand.shelf import ModelKind

_ENDINGS: Final[dict[ModelKind, tuple[str, ...]]] = {
    "masked": ("ForMaskedLM",),
    "causal": ("ForCausalLM", "LMHeadModel"),
}
"""How the names of the classes of a kind end."""


def only_on_hub(name: str) -> bool:
    """Whether a name that may lead to a model leads to none on the shelf, in a file or in a folder."""
    path = at_home(name)
    here = shelf.find(name) or own_shelf.find(name) or path.is_file() or (path / "config.json").is_file()
    return not here and not is_path(name) and hub.is_hub_id(name)


def known_shape(name: str) -> ModelShape | None:
    """The shape of a model whose configuration is on this machine; None where it is not, or cannot be read."""
    fields = _configuration(name)
    return None if fields is None else shape_of(fields)


def known_kind(name: str) -> tuple[ModelKind, str] | None:
    """Kind and title of a model that is here, from its name or its configuration; None where that does not say it."""
    if found := shelf.find(name) or own_shelf.find(name):
        return found.kind, found.display_name
    classes = (_configuration(name) or {}).get("architectures")
    if not isinstance(classes, list) or any(str(each).endswith("WithLMHeadModel") for each in classes):
        return None  # XLM's and FlauBERT's are of either kind
    title = name if only_on_hub(name) else at_home(name).resolve().name
    for kind, endings in _ENDINGS.items():
        if any(str(each).endswith(endings) for each in classes):
            return kind, title
    return None


def _configuration(name: str) -> dict[str, Any] | None:
    """`config.json` of a model on the shelf, in a folder or in the hub's cache; None where there is none to read."""
    try:
        folder = _folder(name)
        fields = json.loads((folder / "config.json").read_text("utf-8")) if folder else None
    except (OSError, ValueError, UsageError):
        return None  # what is wrong with it is told when it is loaded
    return fields if isinstance(fields, dict) else None


def _folder(name: str) -> Path | None:
    if entry := shelf.find(name):
        return shelf.folder_of(entry.weights_sha256, form=entry.form)
    if own := own_shelf.find(name):
        return own.folder
    return hub.cached_snapshot(name) if only_on_hub(name) else at_home(name)

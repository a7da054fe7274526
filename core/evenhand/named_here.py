"""What the name of a model tells before anything is loaded: whether it is on this machine, and of what kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from evenhand import hub, own_shelf, shelf
from evenhand.model_shape import ModelShape, shape_of
from evenhand.resolution import is_path
from evenhand.shelf import ModelKind

_ENDINGS: Final[dict[ModelKind, tuple[str, ...]]] = {
    "masked": ("ForMaskedLM",),
    "causal": ("ForCausalLM", "LMHeadModel"),
}
"""How the names of the classes of a kind end."""


def only_on_hub(name: str) -> bool:
    """Whether a name that may lead to a model leads to none on the shelf, in a file or in a folder."""
    path = Path(name).expanduser()
    here = shelf.find(name) or own_shelf.find(name) or path.is_file() or (path / "config.json").is_file()
    return not here and not is_path(name) and hub.is_hub_id(name)


def known_shape(name: str) -> ModelShape | None:
    """The shape of a model whose configuration is in a folder here; None where it is not, or cannot be read."""
    entry = shelf.find(name)
    own = own_shelf.find(name)
    folder = shelf.folder_of(entry.weights_sha256, form=entry.form) if entry else own.folder if own else Path(name)
    try:
        fields = json.loads((folder.expanduser() / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None  # what is wrong with it is told when it is loaded
    return shape_of(fields) if isinstance(fields, dict) else None


def known_kind(name: str) -> tuple[ModelKind, str] | None:
    """Kind and title of a model that is here, from its name or its configuration; None where that does not say it."""
    if found := shelf.find(name) or own_shelf.find(name):
        return found.kind, found.display_name
    path = Path(name).expanduser()
    try:
        fields = json.loads((path / "config.json").read_text("utf-8"))
        classes = [str(each) for each in fields.get("architectures") or ()]
    except (OSError, ValueError, AttributeError, TypeError):
        return None  # what is wrong with it is told when it is loaded
    if any(each.endswith("WithLMHeadModel") for each in classes):
        return None  # XLM's and FlauBERT's are of either kind
    for kind, endings in _ENDINGS.items():
        if any(each.endswith(endings) for each in classes):
            return kind, path.resolve().name
    return None

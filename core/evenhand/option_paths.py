"""Options that are paths: looked for here, then beside the recipe, as the texts of `[data]` are.

    class MyOptions(StrengthOptions):
        words: PathOption | None = None
        counts: Annotated[str, beside_recipe("census")] = "census"      # a word that is no path, or a path

A plugin sees the path where the file or folder was found; of one that is nowhere, what the recipe says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationInfo

from evenhand.data import find

FOLDERS = "folders"


def context_of(folders: Sequence[Path]) -> dict[str, Any]:
    """What a validation has to be told of the folders of a recipe."""
    return {FOLDERS: tuple(folders)}


def found_path(name: str, info: ValidationInfo) -> str:
    """A path that is there, here or in a folder of the recipe whose options are checked; else the name as it is."""
    context = info.context if isinstance(info.context, Mapping) else {}
    try:
        path, _ = find(name, context.get(FOLDERS, ()))
    except (OSError, RuntimeError, ValueError):  # too long for a path, of no user's home, or with a zero in it
        return name
    return name if path is None or path == Path(name) else str(path)


def beside_recipe(*words: str) -> AfterValidator:
    """Marks an option as a path; `words` are values that are none, whatever files are called so."""

    def checked(value: Any, info: ValidationInfo) -> Any:
        return found_path(value, info) if isinstance(value, str) and value and value not in words else value

    return AfterValidator(checked)


PathOption = Annotated[str, beside_recipe()]
"""The path of a file or folder."""

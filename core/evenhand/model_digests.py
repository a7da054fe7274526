"""The digests of a finished model's files, in its `evenhand.json`: another model is not the one that was measured.

Steps that act beside the weights were fitted to them, and a result's evidence is of them. A file of safetensors that
was copied in part is refused by its reader; one with other numbers in it is not. What the weights mean is the
configuration's to say, and what a text is, the tokenizer's. Settings of generation and chat templates are for whoever
uses the model, and are not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand.cache import sha256_file
from evenhand.errors import DigestMismatch
from evenhand.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WEIGHTS = "*.safetensors"
_NAMES = (_WEIGHTS, "*.safetensors.index.json", "config.json", "tokenizer.json", "vocab.*", "merges.txt", "*.model")


def model_digests(folder: Path) -> dict[str, str]:
    """SHA-256 by name of each file of weights, configuration and vocabulary in a model's folder."""
    return _digests({path for name in _NAMES for path in folder.glob(name)})


def demand_files(folder: Path, expected: Mapping[str, str]) -> None:
    """DigestMismatch unless the folder has these files as they were, and no other weights."""
    present = {path.name for path in folder.iterdir()}
    foreign = sorted({path.name for path in folder.glob(_WEIGHTS)} - expected.keys())
    if lacking := sorted(expected.keys() - present):
        what = f"{lacking[0]} is missing"
    elif foreign:
        what = f"{foreign[0]} was not among them"
    else:
        found = _digests({folder / name for name in expected})
        changed = sorted(name for name in expected if found[name] != expected[name])
        if not changed:
            return
        what = f"{changed[0]} has changed"
    raise DigestMismatch(
        f"the model's files are not those that the run saved: {what}",
        where=str(folder),
        known="what was measured does not hold for another model, and steps beside the weights were fitted to this one",
        do="copy the folder again; if you changed it yourself, evenhand.load(FOLDER, verify=False) loads it, and "
        "without its evenhand.json it is a model like any other",
    )


def _digests(paths: set[Path]) -> dict[str, str]:
    found = {}
    with progress("Reading the digests of the model", total=len(paths), unit="files") as bar:
        for path in sorted(paths):
            found[path.name] = sha256_file(path)
            bar.advance()
    return found

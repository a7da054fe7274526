"""The digests of a finished model's weights, in its `evenhand.json`: other weights are not the ones that were measured.

Steps that act beside the weights were fitted to them, and a result's evidence is of them. A file of safetensors that
was copied in part is refused by its reader; one with other numbers in it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenhand.cache import sha256_file
from evenhand.errors import DigestMismatch
from evenhand.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def weight_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of weights in a model's folder, by name."""
    found = {}
    files = sorted(folder.glob("*.safetensors"))
    with progress("Reading the digests of the weights", total=len(files), unit="files") as bar:
        for path in files:
            found[path.name] = sha256_file(path)
            bar.advance()
    return found


def demand_weights(folder: Path, expected: Mapping[str, str]) -> None:
    """DigestMismatch unless the folder's weights are these, all of them and no others."""
    found = weight_digests(folder)
    if found == expected:
        return
    lacking, foreign = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if lacking:
        what = f"{lacking[0]} is missing"
    elif foreign:
        what = f"{foreign[0]} was not among them"
    else:
        what = f"{next(name for name in sorted(found) if found[name] != expected[name])} has changed"
    raise DigestMismatch(
        f"the weights are not those that the run saved: {what}",
        where=str(folder),
        known="what was measured does not hold for other weights, and steps beside them were fitted to these",
        do="copy the folder again; if you changed them yourself, load with verify=False",
    )

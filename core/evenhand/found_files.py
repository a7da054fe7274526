"""What steps hand to a reader: files and folders of theirs, copied from the hidden state of a run to its report."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.errors import PluginFault
from evenhand.guard import describe
from evenhand.run_folders import STATE

if TYPE_CHECKING:
    from evenhand.recipe import ResolvedStep

FOUND = "found"
"""Folder of the run folder: one folder a step."""


def for_readers(folder: Path, step: ResolvedStep, names: Sequence[str], stage: str) -> list[str]:
    """Copy what the step wrote for a reader to where one looks; gives the places in the run folder."""
    places = []
    for name in names:
        written, place = folder / STATE / "steps" / step.id / name, f"{FOUND}/{step.id}/{name}"
        if not written.exists():
            raise PluginFault(f"its `files` name {name!r}, which it has not written", where=describe(step, stage))
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        if written.is_dir():
            shutil.rmtree(folder / place, ignore_errors=True)
            shutil.copytree(written, folder / place)
        else:
            shutil.copyfile(written, folder / place)
        places.append(place)
    return places

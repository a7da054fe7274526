"""The option that names the folder of benchmark files, the same in all benchmarks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evenhand_sdk import PathOption

DataFolder = Annotated[PathOption | None, Field(description="Folder of benchmark files; else $EVENHAND_DATA.")]
"""None: the folder that the recipe names, then the environment's."""

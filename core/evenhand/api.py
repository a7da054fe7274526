"""The Python interface: run a recipe, use its result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenhand.recipe import Recipe, load_recipe


def run(
    recipe: Recipe | str | Path,
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    resume: bool = False,
    strict: bool = False,
    offline: bool | None = None,
) -> Any:
    """Execute a recipe (an object, a file, TOML text, or a packaged name) and give its result.

    The result has `.folder`, `.benchmarks` (verdicts with intervals) and `.record` (run.json). Raises `EvenhandError`.
    """
    from evenhand.discovery import discover
    from evenhand.execution import execute

    found = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides, catalogue=discover())
    return execute(found, output=output, resume=resume, strict=strict, offline=offline)


def load(folder: str | Path, *, dtype: str = "auto", device: str = "cpu") -> Any:
    """Model and tokenizer of a finished run, with adapters and decoding rules in place.

    `model, tokenizer = evenhand.load(folder)` works, and so does `evenhand.load(folder).generate("Hello")`.
    """
    from evenhand.portable import load_result

    return load_result(folder, dtype=dtype, device=device)

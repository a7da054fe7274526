"""The Python interface: run a recipe, use its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evenhand.errors import UsageError
from evenhand.recipe import Recipe, load_recipe


def run(
    recipe: Recipe | str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    resume: bool = False,
    strict: bool = False,
    offline: bool | None = None,
) -> Any:
    """Execute a recipe and give its result.

    The recipe is an object, a file, TOML text, a packaged name, or a dict with the tables of a recipe. The result has
    `.folder`, `.benchmarks` (verdicts with intervals) and `.record` (run.json). Raises `EvenhandError`.
    """
    from evenhand.execution import execute

    return execute(recipe_of(recipe, overrides), output=output, resume=resume, strict=strict, offline=offline)


def recipe_of(recipe: Recipe | str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """The recipe behind whatever a caller gives: an object, a file, TOML text, a packaged name, or a dict."""
    from evenhand.discovery import discover

    if isinstance(recipe, Recipe):
        return recipe
    return load_recipe(_source(recipe), overrides, catalogue=discover())


def _source(recipe: Any) -> str | Path:
    """A recipe as `load_recipe` takes it; a dict becomes the text that says the same, which the run folder keeps."""
    if isinstance(recipe, Mapping):
        from evenhand.toml_writing import toml_document

        return toml_document(_plain(recipe)) + "\n"
    if not isinstance(recipe, str | Path):
        raise UsageError(
            f"{type(recipe).__name__} is no recipe",
            where="evenhand.run",
            do="give a file, TOML text, the name of a packaged recipe, or a dict with the tables of one",
        )
    return recipe


def _plain(value: Any) -> Any:
    """Values as TOML has them: paths as text, and what is None left out."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def load(folder: str | Path, *, dtype: str = "auto", device: str = "cpu", verify: bool = True) -> Any:
    """Model and tokenizer of a finished run, with adapters and decoding rules in place.

    Its files are compared with the digests that the run has saved; `verify=False` leaves that out, for a model that you
    changed yourself.

    `model, tokenizer = evenhand.load(folder)` works, and so does `evenhand.load(folder).generate("Hello")`, or for a
    masked model `.fill("Paris is the [MASK] of France.")`.
    """
    from evenhand.usable import load_result

    return load_result(folder, dtype=dtype, device=device, verify=verify)


def export(run: str | Path, to: str | Path, *, with_code: bool = False) -> Path:
    """The model of a complete run as a folder for the Hugging Face hub, with card, licence, evidence and provenance.

    Gives the folder. Raises NotPortable for steps that weights cannot hold, unless they may be exported as code.
    """
    from evenhand.exporting import export as export_run

    return export_run(run, to, with_code=with_code)

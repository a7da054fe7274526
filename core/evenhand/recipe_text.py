"""The text of a recipe: a file, a packaged name, or TOML itself; and what it says as a table."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from evenhand import packaged_recipes
from evenhand.errors import RecipeError
from evenhand.near_match import did_you_mean


def read(source: str | Path) -> tuple[str, str, Path | None]:
    """The text, what to call it, and its file. Raises RecipeError when there is none, or it cannot be read."""
    shown = str(source)
    if isinstance(source, str) and ("\n" in source or "=" in source or source.lstrip().startswith("[")):
        return source, "recipe", None
    try:
        path = Path(source)
        if path.is_file():
            return path.read_bytes().decode("utf-8"), shown, path
        folder = path.is_dir()
    except UnicodeDecodeError as error:
        raise RecipeError([f"byte {error.start + 1} is not UTF-8 text"], where=shown) from None
    except OSError as error:
        raise RecipeError([f"the file cannot be read: {error.strerror}"], where=shown) from None
    except ValueError:
        raise RecipeError([f"{shown!r} is no file name"]) from None
    if shown in packaged_recipes.names():
        return packaged_recipes.text(shown), shown, None
    names = packaged_recipes.names()
    what = f"{shown!r} is a folder, not a recipe" if folder and shown else f"there is no recipe {shown!r}"
    if folder and shown and (path / "recipe.toml").is_file():  # that of a run
        raise RecipeError([f"{what}; did you mean {str(path / 'recipe.toml')!r}?"])
    listed = f"\n    Packaged recipes: {', '.join(names) or 'none'}; anything else is a file, such as bias.toml"
    raise RecipeError([what + did_you_mean(shown, names) + listed])


def parsed(text: str, origin: str) -> dict[str, Any]:
    """The table that a text says. Raises RecipeError with the line that is no TOML."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([_syntax(str(error), text)], where=origin) from None
    except ValueError as error:  # a number with thousands of digits
        raise RecipeError([f"a value cannot be read: {error}"], where=origin) from None


def _syntax(message: str, text: str) -> str:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if not found:
        return f"this is not TOML: {message}"
    what = found[1][:1].lower() + found[1][1:]
    if not found[2]:
        return f"at the end of the text: {what}"
    line = text.removeprefix("\ufeff").split("\n")[int(found[2]) - 1].strip()
    return f"line {found[2]}, column {found[3]}: {what}" + (f"\n    {line[:100]}" if line else "")

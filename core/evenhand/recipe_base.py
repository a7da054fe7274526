"""`extends = "protocol.toml"`: a recipe that says only what it adds to another one, or does otherwise.

The other recipe is a file, looked for beside the one that names it, or a packaged recipe; it may extend a further one.

- A key of a section replaces the one below; the rest of the section stays.
- Steps, benchmarks and expectations stand behind those below.
- An entry with an `id` but without `use` changes the entry of this id: what it gives replaces what stood there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand import packaged_recipes
from evenhand.errors import RecipeError
from evenhand.near_match import did_you_mean
from evenhand.recipe_ids import give_ids
from evenhand.recipe_model import EXPECT, LISTS
from evenhand.recipe_text import parsed, read
from evenhand.toml_writing import toml_document
from evenhand.wording import toml_value

KEY = "extends"


@dataclass(frozen=True)
class WrittenOut:
    """A recipe with everything that it extends put into it."""

    table: dict[str, Any]
    source: str
    """The text as it was given; where it extends another one, a text that says the same alone."""
    folders: tuple[Path, ...]
    """Where its relative paths are looked for: its own folder, then those of the recipes that it extends."""


def written_out(text: str, origin: str, path: Path | None) -> WrittenOut:
    """The table of a recipe's text. Raises RecipeError for text that is no TOML, here or in what it extends, and for
    recipes that extend one that is not there, or each other."""
    table, chain = _table(text, origin, path, ())
    folders = tuple(dict.fromkeys(link.parent for _, link in chain if link is not None))
    if len(chain) == 1:
        return WrittenOut(table, text, folders)
    below = ", then ".join(_short(name) for name, _ in chain[1:])
    heading = f"# {_short(origin)}, with what it extends written out: {below}.\n\n"
    return WrittenOut(table, heading + toml_document(table), folders)


def _table(
    text: str, origin: str, path: Path | None, above: tuple[tuple[str, Path | None], ...]
) -> tuple[dict[str, Any], list[tuple[str, Path | None]]]:
    """The table, and the recipes that it is made of, the outermost first."""
    trail = (*above, (origin, path))
    own = parsed(text, origin)
    if KEY not in own:
        return own, [(origin, path)]
    name = own.pop(KEY)
    if not isinstance(name, str) or not name:
        raise RecipeError([f"{KEY}: {toml_value(name)} is no name of a recipe; name one file"], where=origin)
    below_text, below_origin, below_path = _found(name, origin, path)
    places = [_place(*link) for link in trail]
    if (place := _place(below_origin, below_path)) in places:
        circle = " -> ".join([*(_short(o) for o, _ in trail[places.index(place) :]), _short(below_origin)])
        raise RecipeError([f"{KEY}: the recipes extend each other in a circle: {circle}"], where=origin)
    below, chain = _table(below_text, below_origin, below_path, trail)
    return _over(below, own), [(origin, path), *chain]


def _found(name: str, origin: str, path: Path | None) -> tuple[str, str, Path | None]:
    """The recipe that is extended. A file beside this recipe wins over a packaged recipe of its name."""
    folder = path.parent if path is not None else Path()
    given = folder / Path(name).expanduser()
    try:
        if given.is_file():
            return read(given)
    except (OSError, ValueError):  # a name that no file can have: told below, as one that is not there
        pass
    if name in packaged_recipes.names():
        return packaged_recipes.text(name), name, None
    beside = sorted(p.name for p in folder.glob("*.toml")) if folder.is_dir() else []
    near = did_you_mean(name, [*beside, *packaged_recipes.names()])
    names = ", ".join(packaged_recipes.names()) or "none"
    listed = f"\n    Packaged recipes: {names}; a file is looked for beside this one"
    raise RecipeError([f"{KEY}: there is no recipe {name!r}{near}{listed}"], where=origin)


def _place(origin: str, path: Path | None) -> str:
    return str(path.resolve()) if path is not None else f"packaged:{origin}"


def _short(origin: str) -> str:
    return Path(origin).name or origin


def _over(below: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Both recipes as one; what has the wrong shape is left for those who check it."""
    found = {**below, **own}
    for name in LISTS:
        give_ids(below, name)
    for key in below.keys() & own.keys():
        under, over = below[key], own[key]
        if key in (*LISTS, EXPECT):
            if isinstance(under, list) and isinstance(over, list):
                found[key] = _joined(under, over)
            elif not isinstance(under, list):
                found[key] = under
        elif isinstance(under, dict) and isinstance(over, dict):
            found[key] = {**under, **over}
        elif not isinstance(under, dict):
            found[key] = under
    return found


def _joined(under: list[Any], over: list[Any]) -> list[Any]:
    """The entries below with what is changed of them, then the new ones."""
    entries = [dict(e) if isinstance(e, dict) else e for e in under]
    by_id = {e["id"]: e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)}
    for entry in over:
        ident = entry.get("id") if isinstance(entry, dict) and "use" not in entry else None
        if isinstance(ident, str) and ident in by_id:
            by_id[ident].update(entry)
        else:
            entries.append(entry)
    return entries

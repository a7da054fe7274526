"""Read a recipe: TOML to typed values, every problem reported at once, with its path and a near match."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import packaged_recipes
from evenhand.errors import RecipeError
from evenhand.examination import Problem, demand_none, examine
from evenhand.near_match import did_you_mean
from evenhand.overrides import apply_overrides
from evenhand.primary import primary_problems
from evenhand.recipe_model import (
    EXPECT,
    LISTS,
    SECTIONS,
    Expectation,
    ModelSection,
    Recipe,
    RecipeSection,
    StepEntry,
    TrainingSection,
)
from evenhand.recipe_steps import ResolvedStep, reference_problems, resolve_steps
from evenhand.wording import toml_value, validated

if TYPE_CHECKING:
    from evenhand.discovery import Catalogue

__all__ = ["Recipe", "ResolvedStep", "StepEntry", "TrainingSection", "load_recipe", "resolve_steps"]

_ID = re.compile(r"[A-Za-z0-9_-]+")


def load_recipe(source: str | Path, overrides: Sequence[str] = (), *, catalogue: Catalogue | None = None) -> Recipe:
    """A recipe from a file, a packaged name, or TOML text; a file wins over a packaged recipe of its name.

    `overrides` are `key=value`, such as `steps.ID.strength=0.5`. With a `catalogue` everything else that can be known
    is checked, too (`examination`), so that all problems come in one list. Raises RecipeError, or the error of the one
    thing that is missing.
    """
    text, origin, path = _read(source)
    try:
        table = tomllib.loads(text.removeprefix("\ufeff"))
        return _recipe(table, text, tuple(overrides), origin, path, catalogue)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([_syntax(str(error), text)], where=origin) from None
    except RecursionError:
        raise RecipeError(["it is nested too deeply"], where=origin) from None
    except ValueError as error:  # a number with thousands of digits
        raise RecipeError([f"a value cannot be read: {error}"], where=origin) from None


def recipe_of(
    table: dict[str, Any], overrides: Sequence[str], *, origin: str, catalogue: Catalogue, sections: Sequence[str]
) -> Recipe:
    """A recipe from a parsed table, which is changed; `sections` as for `apply_overrides`. Raises RecipeError."""
    return _recipe(table, "", tuple(overrides), origin, None, catalogue, sections)


def _read(source: str | Path) -> tuple[str, str, Path | None]:
    """The text of a recipe, what to call it, and its file."""
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
    listed = f"\n    Packaged recipes: {', '.join(names) or 'none'}; anything else is a file, such as bias.toml"
    raise RecipeError([what + did_you_mean(shown, names) + listed])


def _syntax(message: str, text: str) -> str:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if not found:
        return f"this is not TOML: {message}"
    what = found[1][:1].lower() + found[1][1:]
    if not found[2]:
        return f"at the end of the text: {what}"
    line = text.removeprefix("\ufeff").split("\n")[int(found[2]) - 1].strip()
    return f"line {found[2]}, column {found[3]}: {what}" + (f"\n    {line[:100]}" if line else "")


def _recipe(
    table: dict[str, Any],
    text: str,
    overrides: tuple[str, ...],
    origin: str,
    path: Path | None,
    catalogue: Catalogue | None,
    sections_set: Sequence[str] = (),
) -> Recipe:
    problems: list[str] = []
    for key in table:
        known = [*SECTIONS, *LISTS, EXPECT]
        if key not in known:
            problems.append(f"{key}: unknown section{did_you_mean(key, known)} (known: {', '.join(known)})")
    for name in LISTS:
        problems += _give_ids(table, name)
    problems += apply_overrides(table, overrides, sections_set)

    sections: dict[str, RecipeSection] = {}
    for name, model in SECTIONS.items():
        raw = table.get(name, {})
        if not isinstance(raw, dict):
            problems.append(f"{name}: {toml_value(raw)} is not a table; write [{name}]")
            continue
        section, found = validated(model, raw, name, noun="key")
        problems += found
        if section is not None:
            sections[name] = section

    entries: dict[str, tuple[StepEntry, ...]] = {}
    for name in LISTS:
        entries[name], found = _entries(table, name)
        problems += found
    expected, found = _expectations(table, entries["benchmarks"])
    problems += found
    problems += reference_problems(entries["steps"], entries["benchmarks"])
    problems += primary_problems(
        getattr(sections.get("evaluation"), "primary", None), [e.id for e in entries["benchmarks"] if e.id]
    )
    given = {"source": text, "overrides": overrides, "origin": origin, "path": path}
    everything: list[Problem] = list(problems)
    if catalogue is not None:
        unread = SECTIONS.keys() - sections.keys()
        stand_ins = {name: SECTIONS[name].model_construct() for name in unread - {"model"}}
        parts = {**stand_ins, **sections, **entries, EXPECT: expected, **given}
        draft: Any = {"model": ModelSection.model_construct(name=""), **parts}
        everything += examine(Recipe.model_construct(**draft), catalogue, unread)[1]
    demand_none(everything, origin)
    return Recipe.model_validate({**sections, **entries, EXPECT: expected, **given})


def _expectations(table: dict[str, Any], benchmarks: Sequence[StepEntry]) -> tuple[tuple[Expectation, ...], list[str]]:
    """The `[[expect]]` tables; each names a benchmark of the recipe, or one of several that such an entry gives."""
    raw = table.get(EXPECT, [])
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        return (), [f"{EXPECT}: is not a list of tables; write [[{EXPECT}]], with double brackets, once for each"]
    problems: list[str] = []
    expected = []
    ids = [entry.id for entry in benchmarks if entry.id]
    for position, entry in enumerate(raw, 1):
        place = f"{EXPECT}[{position}]"
        one, found = validated(Expectation, entry, place, noun="key")
        problems += found
        if one is None:
            continue
        expected.append(one)
        if one.benchmark not in ids and not one.benchmark.startswith(tuple(f"{ident}-" for ident in ids)):
            near = did_you_mean(one.benchmark, ids)
            listed = f" (ids: {', '.join(ids) or 'none'})"
            problems.append(f"{place}.benchmark: {one.benchmark!r} is no benchmark of this recipe{near}{listed}")
    return tuple(expected), problems


def _give_ids(table: dict[str, Any], name: str) -> list[str]:
    """Writes an id into every entry that has none: the plugin's name, with -2, -3 behind it where taken."""
    if not isinstance(table.get(name, []), list) or not all(isinstance(e, dict) for e in table.get(name, [])):
        return []  # reported by _entries
    problems, taken = [], dict[str, int]()
    for position, entry in enumerate(table.get(name, []), 1):
        ident = entry.get("id")
        if ident is None:
            continue
        place = f"{name}[{position}].id"
        if not isinstance(ident, str) or not _ID.fullmatch(ident):
            problems.append(f"{place}: {toml_value(ident)} is no id; use letters, digits, - and _")
        elif ident in taken:
            problems.append(f"{place}: {ident!r} is already the id of {name}[{taken[ident]}]")
        else:
            taken[ident] = position
    for position, entry in enumerate(table.get(name, []), 1):
        use = entry.get("use")
        if "id" in entry or not isinstance(use, str):
            continue
        wanted = re.sub(r"[^A-Za-z0-9_-]+", "-", use.rpartition(":")[2]) or "step"
        ident, number = wanted, 1
        while ident in taken:
            number += 1
            ident = f"{wanted}-{number}"
        taken[ident] = position
        entry["id"] = ident
    return problems


def _entries(table: dict[str, Any], name: str) -> tuple[tuple[StepEntry, ...], list[str]]:
    raw = table.get(name, [])
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        return (), [f"{name}: is not a list of tables; write [[{name}]], with double brackets, once for each"]
    problems: list[str] = []
    entries = []
    for position, entry in enumerate(raw, 1):
        place = f"{name}[{position}]"
        options = dict(entry)
        use, ident = options.pop("use", None), options.pop("id", None)
        active = allow = None
        if name == "steps":
            active, allow = options.pop("active", None), options.pop("allow_no_effect", None)
        for key, value in (("active", active), ("allow_no_effect", allow)):
            if value is not None and not isinstance(value, bool):
                problems.append(f"{place}.{key}: {toml_value(value)} is not true or false")
        if use is None or use == "":
            problems.append(f"{place}.use: is required: the name of a plugin")
        elif not isinstance(use, str):
            problems.append(f"{place}.use: {toml_value(use)} is not text")
        entries.append(
            StepEntry.model_construct(
                use=use if isinstance(use, str) else "",
                id=ident if isinstance(ident, str) else "",
                active=active if isinstance(active, bool) else None,
                allow_no_effect=allow is True,
                options=options,
            )
        )
    return tuple(entries), problems

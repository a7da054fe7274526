"""Read a recipe: TOML to typed values, every problem reported at once, with its path and a near match."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.discovery import BUILT_IN
from evenhand.errors import EvenhandError, RecipeError
from evenhand.examination import Problem, demand_none, examine
from evenhand.near_match import did_you_mean
from evenhand.overrides import apply_overrides
from evenhand.primary import primary_problems
from evenhand.recipe_base import KEY as EXTENDS
from evenhand.recipe_base import written_out
from evenhand.recipe_ids import give_ids
from evenhand.recipe_model import (
    EXPECT,
    LISTS,
    OPTIONAL,
    SECTIONS,
    Expectation,
    ModelSection,
    Recipe,
    RecipeSection,
    StepEntry,
    TrainingSection,
)
from evenhand.recipe_steps import ResolvedStep, reference_problems, resolve_steps
from evenhand.recipe_text import parsed, read
from evenhand.sweep_space import PLACE, sweep_problems
from evenhand.toml_writing import toml_document
from evenhand.wording import toml_value, validated

if TYPE_CHECKING:
    from evenhand.discovery import Catalogue

__all__ = ["Recipe", "ResolvedStep", "StepEntry", "TrainingSection", "load_recipe", "resolve_steps"]


def load_recipe(source: str | Path, overrides: Sequence[str] = (), *, catalogue: Catalogue | None = None) -> Recipe:
    """A recipe from a file, a packaged name, or TOML text; a file wins over a packaged recipe of its name.

    What it `extends` is put into it (`recipe_base`).

    `overrides` are `key=value`, such as `steps.ID.strength=0.5`. With a `catalogue` everything else that can be known
    is checked, too (`examination`), so that all problems come in one list. Raises RecipeError, or the error of the one
    thing that is missing.
    """
    text, origin, path = read(source)
    try:
        found = written_out(text, origin, path)
        return _recipe(found.table, found.source, tuple(overrides), origin, path, catalogue, folders=found.folders)
    except RecursionError:
        raise RecipeError(["it is nested too deeply"], where=origin) from None


def _of_other_keys(known: Sequence[str], section: Any, draft: Recipe, catalogue: Catalogue) -> list[str]:
    """What is wrong with the values of those keys of a sweep that nothing is `known` against, to tell all at once."""
    from evenhand.sweep_values import refused_values

    keys = [k for k in section.parameters if not any(p.startswith(f"{PLACE}.{k!r}: ") for p in known)]
    try:
        return refused_values(draft, {k: section.parameters[k] for k in keys}, catalogue)
    except EvenhandError:  # something outside the recipe is missing: it is looked for, and told, beside these problems
        return []


def recipe_of(
    table: dict[str, Any], overrides: Sequence[str], *, origin: str, catalogue: Catalogue, sections: Sequence[str],
    elsewhere: Sequence[str] = (),
) -> Recipe:  # fmt: skip
    """A recipe from a parsed table, which is changed; `sections` as for `apply_overrides`. Raises RecipeError.

    What the sections `elsewhere` name is not looked for here: the caller has found it.
    """
    return _recipe(table, "", tuple(overrides), origin, None, catalogue, sections, elsewhere=elsewhere)


def varied(recipe: Recipe, overrides: Sequence[str], catalogue: Catalogue, *, train_at: int | None = None) -> Recipe:
    """One configuration of a recipe: with further overrides, and with a `train` step put at a position.

    It has no section about the search that it is a part of. Raises RecipeError.
    """
    table = parsed(recipe.source, recipe.origin)
    for name in OPTIONAL:
        table.pop(name, None)
    if train_at is not None:
        table["steps"] = [*table["steps"][:train_at], {"use": BUILT_IN}, *table["steps"][train_at:]]
    text = toml_document(table)
    given = [o for o in recipe.overrides if o.partition(".")[0].strip() not in OPTIONAL]
    return _recipe(table, text, (*given, *overrides), recipe.origin, recipe.path, catalogue, folders=recipe.folders)


def _recipe(
    table: dict[str, Any],
    text: str,
    overrides: tuple[str, ...],
    origin: str,
    path: Path | None,
    catalogue: Catalogue | None,
    sections_set: Sequence[str] = (),
    folders: tuple[Path, ...] = (),
    elsewhere: Sequence[str] = (),
) -> Recipe:
    problems: list[str] = []
    for key in table:
        known = [EXTENDS, *SECTIONS, *LISTS, EXPECT]
        if key not in known:
            problems.append(f"{key}: unknown section{did_you_mean(key, known)} (known: {', '.join(known)})")
    for name in LISTS:
        problems += give_ids(table, name)
    problems += apply_overrides(table, overrides, sections_set)

    sections: dict[str, RecipeSection] = {}
    for name, model in SECTIONS.items():
        if name in OPTIONAL and name not in table:
            continue
        raw = table.get(name, {})
        if not isinstance(raw, dict):
            problems.append(f"{name}: {toml_value(raw)} is not a table; write [{name}]")
            continue
        section, found = validated(model, raw, name, noun="key", folders=folders)
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
    given: dict[str, Any] = {"source": text, "overrides": overrides, "origin": origin, "path": path, "folders": folders}
    searched = sweep_problems(table, sections.get("sweep"), [e.id for e in entries["benchmarks"] if e.id])
    if searched and not problems and catalogue is not None:
        searched += _of_other_keys(searched, sections["sweep"], Recipe.model_construct(**given), catalogue)
    problems += searched
    everything: list[Problem] = list(problems)
    if catalogue is not None:
        unread = SECTIONS.keys() - sections.keys() - set(OPTIONAL)
        stand_ins = {name: SECTIONS[name].model_construct() for name in unread - {"model"}}
        parts = {**stand_ins, **sections, **entries, EXPECT: expected, **given}
        draft: Any = {"model": ModelSection.model_construct(name=""), **parts}
        everything += examine(Recipe.model_construct(**draft), catalogue, {*unread, *elsewhere})[1]
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

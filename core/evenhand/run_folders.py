"""Where runs lie: the folder of a new one, and those of earlier runs of the same recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evenhand.cache import digest_of, make_folder, storing, write_atomic
from evenhand.errors import EvenhandError, RunNotFound
from evenhand.recipe import Recipe
from evenhand.recipe_model import LISTS
from evenhand.report_reading import raw_run

STATE = ".state"
"""Folder inside the run folder for what a resume needs."""
MOST, LONGEST = 4, 40
"""So many settings that differ are named, each value with so many letters."""


def run_name(recipe: Recipe) -> str:
    """What a run is called: by its recipe, else after the recipe's file."""
    return recipe.run.name or (Path(recipe.origin).stem if recipe.origin != "recipe" else "run")


def _identity(recipe: Recipe) -> str:
    """What must be equal for a run to be continued."""
    return digest_of(json.loads(json.dumps(recipe.model_dump(mode="json"))))


def new_folder(parent: Path, name: str) -> Path:
    """Make the folder of a new run: its name with the time, and a number where that is taken."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = next(p for k in range(1000) if not (p := parent / f"{name}-{stamp}{f'-{k}' if k else ''}").exists())
    with storing(folder):
        make_folder(folder / STATE)
    return folder


def run_folder(recipe: Recipe, output: str | Path | None, resume: bool) -> Path:
    """A new run folder, or the newest unfinished one of the same recipe."""
    parent = Path(output or recipe.run.output or "runs")
    name = run_name(recipe)
    if not resume:
        folder = new_folder(parent, name)
        with storing(folder):
            write_atomic(folder / STATE / "identity", _identity(recipe))
        return folder
    found, same = _runs_there(recipe, parent), runs_of(recipe, parent)
    unfinished = [p for p in same if _status(p) != "complete"]
    if unfinished:
        return unfinished[-1]
    if same:
        raise RunNotFound(f"the newest run of {name!r} is complete, there is nothing to resume", known=str(same[-1]))
    begun = next((p for p in reversed(found) if _status(p) != "complete"), None)
    raise RunNotFound(
        f"no run of {name!r} to resume in {str(parent)!r}",
        known=_other_settings(begun, recipe) if begun else "",
        do="give the settings that it began with, or start a new run without --resume" if begun
        else "start a new run without --resume",
    )  # fmt: skip


def _other_settings(folder: Path, recipe: Recipe) -> str:
    """What a run that was begun has otherwise than the recipe says now, such as `training.max_steps (20, now 30)`."""
    try:
        then = dict(_settings(raw_run(folder).get("recipe")))
    except EvenhandError:
        then = {}
    now = dict(_settings(recipe.model_dump(mode="json")))
    keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    told = [f"{key} ({_shown(then.get(key))}, now {_shown(now.get(key))})" for key in keys[:MOST]]
    told += [f"the order of its {name} ({a}, now {b})" for name, a, b in _other_orders(then, now)]
    if not told:
        return f"{folder.name} was begun with another form of this recipe"
    more = f" and {len(keys) - MOST} more" if len(keys) > MOST else ""
    return f"{folder.name} was begun with other settings: {', '.join(told)}{more}"


def _other_orders(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Lists of tables that have the same entries in another order: name, and the ids as they stood and stand."""
    for name in LISTS:
        orders = [
            list(dict.fromkeys(key.split(".")[1] for key in settings if key.startswith(f"{name}.")))
            for settings in (then, now)
        ]
        if orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]):
            yield name, ", ".join(orders[0]), ", ".join(orders[1])


def _settings(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a table with its key; an entry of a list of tables goes by its id."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _settings(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        for number, each in enumerate(value, 1):
            yield from _settings(each, f"{place}.{each.get('id', number)}")
    else:
        yield place.replace(".options.", "."), value


def _shown(value: Any) -> str:
    text = "not set" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _runs_there(recipe: Recipe, parent: Path) -> list[Path]:
    found = parent.glob(f"{run_name(recipe)}-*/{STATE}/identity")
    return sorted((p.parent.parent for p in found), key=lambda folder: folder.name)


def runs_of(recipe: Recipe, parent: Path) -> list[Path]:
    """The folders of this recipe's runs, the oldest first; those of another version of it are left out."""
    identity = _identity(recipe)
    return [p for p in _runs_there(recipe, parent) if (p / STATE / "identity").read_text() == identity]


def _status(folder: Path) -> str:
    try:
        return str(raw_run(folder).get("status", "unreadable"))
    except EvenhandError:
        return "unreadable"

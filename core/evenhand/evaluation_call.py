"""The call of an evaluation as a recipe without steps, with all its problems told in the words of the call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import DataNotFound, EvenhandError, RecipeError, RecipeProblem, UsageError
from evenhand.recipe import Recipe, ResolvedStep, recipe_of, resolve_steps

if TYPE_CHECKING:
    from evenhand.discovery import Catalogue

WHERE = "evaluation"
Asked = str | tuple[str, Mapping[str, Any]]
"""A benchmark by name, or by name with options."""


def entry_of(asked: Asked, limit: int | None, catalogue: Catalogue) -> dict[str, Any]:
    """A benchmark as a table of a recipe, with the limit where it has such an option."""
    from evenhand.discovery import load

    use, options = asked if isinstance(asked, tuple) and len(asked) == 2 else (asked, {})
    if not isinstance(use, str) or not isinstance(options, Mapping):
        raise UsageError(f"{asked!r} is no benchmark", where=WHERE, do="give its name, or (name, {option: value})")
    entry = {**options, "use": use}
    if limit is not None:
        try:
            known = load(catalogue.find(use)).Options.model_fields
        except EvenhandError:
            return entry  # told with all other problems
        if "limit" in known:
            entry.setdefault("limit", limit)
    return entry


def checked(
    table: dict[str, Any], overrides: Sequence[str], catalogue: Catalogue, limit: int | None
) -> tuple[Recipe, list[ResolvedStep]]:
    """The call as a recipe without steps. Raises RecipeError in the words of the call, and UsageError for a model
    behind an endpoint."""
    from evenhand.restoring import finished_folder

    given: list[dict[str, Any]] = table["benchmarks"]
    run = finished_folder(Path(table["model"]["name"]).expanduser())  # which no recipe may name as its model
    try:
        recipe = recipe_of(
            table, overrides, origin=WHERE, catalogue=catalogue, sections=("model", "evaluation", "run"),
            elsewhere=("model",) if run else (),
        )  # fmt: skip
        steps = [s for s in resolve_steps(recipe, catalogue) if s.section == "benchmarks"]
    except RecipeError as error:
        raise RecipeError([_in_words(problem, given) for problem in error.problems], where=WHERE) from None
    except DataNotFound as error:
        where = error.where.replace("benchmarks.", "")
        raise DataNotFound(error.what, where=where, known=error.known, do=error.do) from None
    if recipe.model.endpoint is not None:
        raise UsageError(
            "an evaluation measures weights and probabilities, which an endpoint does not give",
            where="model.endpoint",
            do="name a model that is loaded here; evenhand.connect(RECIPE) answers requests of a served one under the "
            "rules of a recipe",
        )
    if limit is not None and not any("limit" in s.raw_options for s in steps):
        names = ", ".join(s.use for s in steps)
        raise RecipeError([f"--limit: no benchmark named here has an option limit ({names})"], where=WHERE)
    return recipe, steps


def _in_words(problem: str, given: Sequence[Mapping[str, Any]]) -> str:
    """A problem of the recipe that a call stands for: benchmarks by name instead of by number."""

    def name(match: re.Match[str]) -> str:
        entry = given[int(match[1]) - 1]
        return str(entry.get("id") or entry["use"])

    code = getattr(problem, "exit_code", RecipeError.exit_code)
    problem = re.sub(r"^benchmarks\[(\d+)\](\.use)?", name, problem)
    problem = problem.replace(" in [[benchmarks]]", " among the benchmarks").replace("; write it under [[steps]]", "")
    problem = problem.replace("write benchmarks.ID.key=value", "write BENCHMARK.key=value")
    return RecipeProblem(problem.replace("such as steps.ID.strength=0.5", "such as crows-pairs.limit=100"), code)


def none_named(catalogue: Catalogue) -> UsageError:
    """The error for a call that names no benchmark, with those that are installed."""
    from evenhand.discovery import load

    names = []
    for row in catalogue.rows:
        try:
            if row.name and "evaluation" in load(catalogue.find(row.name)).stages():
                names.append(row.name)
        except EvenhandError:
            continue  # it cannot be used here; `toolkit plugins --load` says why
    return UsageError(
        "no benchmark is named",
        where=WHERE,
        known=f"installed: {', '.join(names) or 'none'}",
        do="name at least one: --benchmark NAME",
    )


def short_name(name: str) -> str:
    """A model's name as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name or "model").strip("-.") or "model"

"""All that can be known to be wrong with a recipe before anything heavy is loaded, in one list.

Its options and plugins, the order of its steps, and what it names outside itself: model, texts, benchmark files.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from evenhand.control_steps import match_controls
from evenhand.errors import EvenhandError, RecipeError, RecipeProblem, WrongModelKind
from evenhand.named_here import known_kind, known_shape
from evenhand.plan import Plan, arrange, check_kinds
from evenhand.recipe_inputs import missing_inputs
from evenhand.recipe_steps import match_steps
from evenhand.unfit_steps import unfit

if TYPE_CHECKING:
    from evenhand.discovery import Catalogue
    from evenhand.recipe_model import Recipe

Problem = str | EvenhandError
"""A line about the recipe, or an error about something outside it, with its own exit code."""


def examined(recipe: Recipe, catalogue: Catalogue) -> Plan:
    """The order of work of a recipe in which nothing was found wrong.

    Raises the error of the one thing outside the recipe that is missing, where that is all; else RecipeError with
    everything at once.
    """
    work, problems = examine(recipe, catalogue)
    demand_none(problems, recipe.origin)
    return work


def examine(recipe: Recipe, catalogue: Catalogue, unread: Collection[str] = ()) -> tuple[Plan, list[Problem]]:
    """The order of work, and every problem; `unread` are the recipe's tables that could not be read themselves."""
    resolved, problems = match_steps(
        recipe.steps, recipe.benchmarks, catalogue, training=recipe.training, kind=recipe.model.kind,
        folders=recipe.folders,
    )  # fmt: skip
    unknown = len(resolved) < len(recipe.steps) + len(recipe.benchmarks)
    controls, found = match_controls(recipe, catalogue, resolved)
    problems += found
    work, found = arrange(recipe, [*resolved, *controls])
    problems += found
    # A step whose plugin is not known may well train.
    inputs = missing_inputs(recipe, [*work.steps, *work.benchmarks], trains=work.reads_text or unknown, unread=unread)
    kinds = [] if recipe.model.kind or "model" in unread else _of_wrong_kind(recipe, work)
    shape = None if "model" in unread else known_shape(recipe.model.name)
    return work, [*problems, *kinds, *(unfit(work.steps, shape) if shape else ()), *inputs]


def _of_wrong_kind(recipe: Recipe, work: Plan) -> list[EvenhandError]:
    """What does not work on the model, where its kind is known without loading it."""
    known = known_kind(recipe.model.name)
    if known is not None:
        try:
            check_kinds([*work.steps, *work.benchmarks], *known)
        except WrongModelKind as error:
            return [error]
    return []


def demand_none(problems: Sequence[Problem], where: str) -> None:
    """Raises for the problems there are, if any; the exit code is that of their kind, or 2 for several kinds."""
    if len(problems) == 1 and isinstance(problems[0], EvenhandError):
        raise problems[0]
    if problems:
        raise RecipeError([_line(problem) for problem in problems], where=where)


def _line(problem: Problem) -> str:
    if isinstance(problem, EvenhandError):
        return RecipeProblem(str(problem).replace("\n", "\n    "), problem.exit_code)
    return problem

"""The models to beat that a recipe names: `[evaluation] controls`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand.errors import EvenhandError, RecipeProblem
from evenhand.plugin import Mitigation

if TYPE_CHECKING:
    from evenhand.discovery import Catalogue
    from evenhand.recipe_model import EvaluationSection, Recipe
    from evenhand.recipe_steps import ResolvedStep

CONTINUED = "continued-training"
"""Built in: the same updates on the same text as it was, without a term for fairness."""
DEGRADATION = ("weight-noise", "unigram-mix", "temperature")
"""Plugins that a run makes by itself where language quality fell."""
ON_REQUEST = ("weight-rounding",)
"""Degradations that are made only where a recipe names them; where it does not, the report says so."""
REQUIRED = ("weight-noise", "unigram-mix")
"""Those without which no improvement is claimed; a temperature keeps the order of next tokens, and is weaker."""


def match_controls(
    recipe: Recipe, catalogue: Catalogue, steps: Sequence[ResolvedStep] = ()
) -> tuple[list[ResolvedStep], list[str]]:
    """The controls as steps, each with its defaults, and the problems with them; `steps` are those of the recipe."""
    return controls_of(recipe.evaluation, catalogue, steps)


def own_controls(steps: Sequence[ResolvedStep]) -> list[str]:
    """The controls that active steps ask for, since they degrade a model in the same way as these."""
    asked = [name for s in steps if s.section == "steps" and s.active and s.plugin for name in s.plugin.controls]
    return list(dict.fromkeys(asked))


def controls_of(
    section: EvaluationSection, catalogue: Catalogue, steps: Sequence[ResolvedStep] = ()
) -> tuple[list[ResolvedStep], list[str]]:
    """As `match_controls`. Where the recipe leaves the choice, what is not installed is left out, and said later."""
    if section.controls == "none":
        return [], []
    automatic = section.controls == "auto"
    names = tuple(dict.fromkeys((CONTINUED, *DEGRADATION, *own_controls(steps)))) if automatic else section.controls
    found: list[ResolvedStep] = []
    problems: list[str] = []
    for position, name in enumerate(names, 1):
        place = f"evaluation.controls[{position}]"
        if name in names[: position - 1]:
            problems.append(f"{place}: {name!r} is named twice")
            continue
        try:
            found.append(_step(name, catalogue))
        except EvenhandError as error:
            if not automatic:
                problems.append(RecipeProblem(f"{place}: " + str(error).replace("\n", "\n    "), error.exit_code))
        except ValueError as error:
            problems.append(f"{place}: {error}")
    return found, problems


def _step(name: str, catalogue: Catalogue) -> ResolvedStep:
    from evenhand.discovery import load
    from evenhand.recipe_model import TrainingSection
    from evenhand.recipe_steps import ResolvedStep

    if name == CONTINUED:
        plugin = row = None
        options = TrainingSection()
    else:
        row = catalogue.find(name)
        plugin = load(row)
        stages = set(plugin.stages())
        if not issubclass(plugin, Mitigation) or not stages or not stages <= {"architecture", "decoding"}:
            raise ValueError(
                f"{name!r} is no control: it must have a strength, and act by architecture or decoding alone"
            )
        options = plugin.Options()  # type: ignore[assignment]
    return ResolvedStep(
        id=name.rpartition(":")[2], use=name, section="controls", plugin=plugin, row=row, options=options,
        raw_options={}, active=True, allow_no_effect=True, references={},
    )  # fmt: skip

"""The steps of a recipe, matched with plugins: options checked, references followed, activity settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evenhand.control_steps import match_controls
from evenhand.discovery import BUILT_IN, Catalogue, PluginRow, load
from evenhand.errors import EvenhandError, RecipeError, RecipeProblem
from evenhand.near_match import did_you_mean
from evenhand.plugin import Options, Plugin
from evenhand.recipe_model import Recipe, StepEntry, TrainingSection
from evenhand.wording import validated

PREFIX = "step:"
INSTALLED = "Installed: "
"""How the line begins that lists all plugins, below one that does not exist."""
Listed = Literal["steps", "benchmarks", "controls"]


@dataclass(frozen=True, kw_only=True)
class ResolvedStep:
    """One step, ready to be made: `step.plugin(step.options)`."""

    id: str
    use: str
    section: Listed
    plugin: type[Plugin] | None
    """None for the built-in `train`."""
    row: PluginRow | None
    """Where the plugin came from; None for `train`."""
    options: Options | TrainingSection
    """Validated; of `train`: the `[training]` section with this step's values written over it."""
    raw_options: Mapping[str, Any]
    """As the recipe gives them."""
    active: bool
    allow_no_effect: bool
    references: Mapping[str, tuple[str, ...]]
    """Option -> ids of the steps that its `step:ID` values refer to."""

    @property
    def acting(self) -> type[Plugin] | None:
        """The plugin of an active step; None where an option is wrong, so that what it reads is not known."""
        right = self.plugin is not None and self.active and isinstance(self.options, self.plugin.Options)
        return self.plugin if right else None


def resolve_steps(recipe: Recipe, catalogue: Catalogue) -> list[ResolvedStep]:
    """Every step, then every benchmark, in the order of the recipe; imports only the plugins that it names.

    Raises RecipeError with all problems at once.
    """
    resolved, problems = match_steps(
        recipe.steps, recipe.benchmarks, catalogue, training=recipe.training, kind=recipe.model.kind,
        folders=recipe.folders,
    )  # fmt: skip
    controls, found = match_controls(recipe, catalogue, resolved)
    problems += found
    resolved += controls
    if problems:
        raise RecipeError(problems, where=recipe.origin)
    return resolved


def match_steps(
    steps: Sequence[StepEntry],
    benchmarks: Sequence[StepEntry],
    catalogue: Catalogue,
    *,
    training: TrainingSection,
    kind: str | None,
    folders: Sequence[Path] = (),
) -> tuple[list[ResolvedStep], list[str]]:
    """As `resolve_steps`, but gives the problems instead of raising them; `folders` are those of the recipe.

    Where an option is wrong, the step is among the resolved ones all the same, without its options, so that the order
    of steps can be judged.
    """
    resolved: list[ResolvedStep] = []
    problems: list[str] = []
    listed = False
    referred = {i for entry in (*steps, *benchmarks) for ids in references(entry).values() for i in ids}
    for section, position, entry in _numbered(steps, benchmarks):
        if not entry.use:
            continue  # already a problem of the recipe itself
        place = f"{section}[{position}]"
        plugin, row, found = _plugin(section, place, entry, catalogue, kind, listed)
        listed = listed or any(INSTALLED in text for text in found)
        problems += found
        if found:
            continue
        options: Options | TrainingSection | None
        if plugin is None:
            own, found = validated(TrainingSection, entry.options, place)
            options = training.model_copy(update=own.model_dump(include=own.model_fields_set)) if own else training
        else:
            options, found = validated(plugin.Options, entry.options, place, folders=folders)
        problems += found
        automatic = plugin is None or entry.id not in referred
        resolved.append(
            ResolvedStep(
                id=entry.id,
                use=entry.use,
                section=section,
                plugin=plugin,
                row=row,
                options=options or Options(),
                raw_options=entry.options,
                active=entry.active if entry.active is not None else section == "benchmarks" or automatic,
                allow_no_effect=entry.allow_no_effect,
                references=references(entry),
            )
        )
    return resolved, problems


def _numbered(steps: Sequence[StepEntry], benchmarks: Sequence[StepEntry]) -> list[tuple[Listed, int, StepEntry]]:
    return [
        *(("steps", position, entry) for position, entry in enumerate(steps, 1)),
        *(("benchmarks", position, entry) for position, entry in enumerate(benchmarks, 1)),
    ]


def _plugin(
    section: Listed, place: str, entry: StepEntry, catalogue: Catalogue, kind: str | None, listed: bool
) -> tuple[type[Plugin] | None, PluginRow | None, list[str]]:
    """The class and row behind `use`, or the problem with it; what is installed is `listed` once in a recipe."""
    if entry.use == BUILT_IN:
        misplaced = [f"{place}.use: 'train' belongs into [[steps]]"] if section == "benchmarks" else []
        return None, None, misplaced
    try:
        row = catalogue.find(entry.use)
        plugin = load(row)
    except EvenhandError as error:
        lines = [line for line in str(error).split("\n") if not (listed and line.strip().startswith(INSTALLED))]
        return None, None, [RecipeProblem(f"{place}.use: " + "\n    ".join(lines), error.exit_code)]
    stages = plugin.stages()
    if section == "steps" and stages == ("evaluation",):
        return None, None, [f"{place}.use: {row.name!r} is a benchmark; write it under [[benchmarks]]"]
    if section == "benchmarks" and "evaluation" not in stages:
        return None, None, [f"{place}.use: {row.name!r} is no benchmark; write it under [[steps]]"]
    if kind is not None and kind not in plugin.kinds:
        works = " and ".join(plugin.kinds)
        return None, None, [f"{place}.use: {row.name!r} works on {works} models only, model.kind is {kind!r}"]
    return plugin, row, []


def references(entry: StepEntry) -> dict[str, tuple[str, ...]]:
    """Option -> the ids in its `step:ID` values, for options that have any."""
    found = {key: tuple(_ids(value)) for key, value in entry.options.items()}
    return {key: ids for key, ids in found.items() if ids}


def _ids(value: Any) -> list[str]:
    if isinstance(value, str):
        ident = value.removeprefix(PREFIX)
        return [ident] if value.startswith(PREFIX) and not any(c.isspace() for c in ident) else []
    if isinstance(value, Mapping):
        value = list(value.values())
    return [i for item in value for i in _ids(item)] if isinstance(value, list) else []


def reference_problems(steps: Sequence[StepEntry], benchmarks: Sequence[StepEntry]) -> list[str]:
    """References that lead nowhere, to the step itself, or round in a circle."""
    ids = [entry.id for entry in steps if entry.id]
    problems = []
    for section, position, entry in _numbered(steps, benchmarks):
        for key, named in references(entry).items():
            for ident in named:
                place = f"{section}[{position}].{key}"
                if section == "steps" and ident == entry.id:
                    problems.append(f"{place}: '{PREFIX}{ident}' refers to the step itself")
                elif ident not in ids:
                    near = did_you_mean(ident, ids)
                    listed = f" (ids: {', '.join(ids) or 'none'})"
                    problems.append(f"{place}: '{PREFIX}{ident}' refers to no step{near}{listed}")
    circle = _circle({e.id: [i for named in references(e).values() for i in named if i != e.id] for e in steps})
    if circle:
        problems.append(f"steps: they refer to each other in a circle: {' -> '.join(circle)}")
    return problems


def _circle(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """The first circle of references, its beginning repeated at the end; empty when there is none."""
    done: set[str] = set()
    for start in edges:
        trail, pending = [start], [iter(edges[start])]
        while trail:
            following = next(pending[-1], None)
            if following is None:
                done.add(trail.pop())
                pending.pop()
            elif following in trail:
                return [*trail[trail.index(following) :], following]
            elif following in edges and following not in done:
                trail.append(following)
                pending.append(iter(edges[following]))
    return []

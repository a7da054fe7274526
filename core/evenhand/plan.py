"""From the steps of a recipe to the order of work: where the trainings are, and what cannot work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evenhand.errors import RecipeError, WrongModelKind
from evenhand.recipe_model import Recipe
from evenhand.recipe_steps import ResolvedStep

LEARNT = ("data", "objective")
"""Stages that only act through a training that follows; so do plugins that say `shapes_training`."""


@dataclass(frozen=True)
class Plan:
    """The active steps with the training put where it belongs."""

    steps: tuple[ResolvedStep, ...]
    """All steps in order, an implied `train` included."""
    benchmarks: tuple[ResolvedStep, ...]
    controls: tuple[ResolvedStep, ...] = ()
    """The models to beat; of `continued-training`, which the host has built in, `plugin` is None."""

    @property
    def trains(self) -> bool:
        """Whether any training takes place."""
        return any(s.plugin is None and s.active for s in self.steps)

    @property
    def reads_text(self) -> bool:
        """Whether the training text is read: by a training, or by a step that looks on."""
        return self.trains or any(only_reads(s) for s in self.steps)

    @property
    def only_looks(self) -> bool:
        """Whether there are steps and none can change the model: all read the text, and may explain."""
        return looking_alone([s for s in self.steps if s.active])

    @property
    def leaves_model(self) -> bool:
        """Whether no step can change the model: each reads text, watches answers or explains, or there is none."""
        return all(_leaves_model(s) for s in self.steps if s.active)


def stages_of(step: ResolvedStep) -> tuple[str, ...]:
    """The life-cycle stages of a step; of `train`: none."""
    return step.plugin.stages() if step.plugin else ()


def needs_training(step: ResolvedStep) -> bool:
    """Whether a step acts only through a training that follows it."""
    if step.plugin is None or not step.active:
        return False
    acting = set(stages_of(step)) - ({"data"} if step.plugin.looks_on else set())
    return step.plugin.shapes_training or not acting.isdisjoint(LEARNT)


def only_reads(step: ResolvedStep) -> bool:
    """Whether a step reads the training text and changes none of it."""
    return step.plugin is not None and step.active and step.plugin.looks_on and "data" in stages_of(step)


def _leaves_model(step: ResolvedStep) -> bool:
    looking = {"monitoring", "transparency"} | ({"data"} if only_reads(step) else set())
    return step.plugin is not None and looking.issuperset(stages_of(step))


def looking_alone(steps: Sequence[ResolvedStep]) -> bool:
    """Whether there are steps, and all of them read the text and do nothing else but explain."""
    return bool(steps) and all(only_reads(s) and {"data", "transparency"}.issuperset(stages_of(s)) for s in steps)


def implied_place(steps: Sequence[ResolvedStep]) -> int | None:
    """Where the training belongs that a recipe does not spell out; None where no step needs one.

    It comes behind steps that look on, too, so that these see what it learns from.
    """
    if not any(needs_training(s) for s in steps):
        return None
    return max(k for k, s in enumerate(steps) if needs_training(s) or only_reads(s)) + 1


def plan(recipe: Recipe, resolved: Sequence[ResolvedStep]) -> Plan:
    """The order of work; raises RecipeError for every step that needs a training and that none follows."""
    found, problems = arrange(recipe, resolved)
    if problems:
        raise RecipeError(problems, where=recipe.origin)
    return found


def arrange(recipe: Recipe, resolved: Sequence[ResolvedStep]) -> tuple[Plan, list[str]]:
    """Put the implied training after the last step that needs one; also what is wrong with the order."""
    steps = [s for s in resolved if s.section == "steps"]
    benchmarks, controls = (tuple(s for s in resolved if s.section == name) for name in ("benchmarks", "controls"))
    served = [k for k, s in enumerate(steps) if needs_training(s) or only_reads(s)]
    trainings = [k for k, s in enumerate(steps) if s.plugin is None and s.active]
    problems = []
    if not trainings:
        place = implied_place(steps)
        if place is not None:
            steps.insert(place, _implied_training(recipe, steps))
    else:
        problems = [
            f"steps.{steps[k].id}: no training follows it; put it before the last `train`, or add one"
            for k in served
            if k > trainings[-1]
        ]
    problems += contested(steps) + rivals(steps)
    found = Plan(tuple(steps), benchmarks, controls)
    if len(recipe.run.all_seeds) > 1 and not found.trains:
        problems = [*problems, "run.seeds: nothing is trained, so further seeds change nothing"]
    return found, problems


def contested(steps: Sequence[ResolvedStep]) -> list[str]:
    """A sentence for each step that claims what an earlier one still waits to be trained."""
    waiting: dict[str, ResolvedStep] = {}
    problems = []
    for step in steps:
        if step.plugin is None:
            if step.active:
                waiting.clear()
            continue
        if not step.active:
            continue
        if shared := [word for word in step.plugin.claims if word in waiting]:
            other = waiting[shared[0]]
            problems.append(
                f"steps.{step.id}: {other.id!r} ({other.use}) waits for a training of its own, and one training cannot "
                f"serve both: each claims the {shared[0]} of the model; put a `train` between them"
            )
        if step.plugin.shapes_training:
            waiting |= dict.fromkeys(step.plugin.claims, step)
    return problems


def rivals(steps: Sequence[ResolvedStep]) -> list[str]:
    """A sentence for each training in which several steps bring what it takes one of."""
    bringing: dict[str, list[str]] = {}
    problems = []
    for step in steps:
        if step.plugin is None and step.active:
            problems += _several(bringing)
            bringing.clear()
        if step.plugin is None or not step.active or getattr(step.options, "strength", 1.0) == 0:
            continue
        for part in step.plugin.sole:
            bringing.setdefault(part, []).append(step.id if step.id == step.use else f"{step.id} ({step.use})")
    return problems + _several(bringing)


def _several(bringing: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"steps: a training has one {part}, and {len(ids)} steps bring one: {', '.join(ids)}; "
        "leave out all but one, or put a `train` between them"
        for part, ids in bringing.items()
        if len(ids) > 1
    ]


def _implied_training(recipe: Recipe, steps: Sequence[ResolvedStep]) -> ResolvedStep:
    taken = {s.id for s in steps}
    name = next(n for n in ("train", *(f"train-{k}" for k in range(2, 99))) if n not in taken)
    return ResolvedStep(
        id=name, use="train", section="steps", plugin=None, row=None, options=recipe.training, raw_options={},
        active=True, allow_no_effect=False, references={},
    )  # fmt: skip


def check_kinds(steps: Sequence[ResolvedStep], kind: str, model: str) -> None:
    """Refuse, by name, every step that does not work on this kind of model."""
    wrong = [s for s in steps if s.plugin is not None and s.active and kind not in s.plugin.kinds]
    if wrong:
        nouns = ["benchmark" if s.section == "benchmarks" else "step" for s in wrong]
        listed = "; ".join(
            f"{noun} {s.id!r}{'' if s.use == s.id else f' ({s.use})'} needs a {' or '.join(s.plugin.kinds)} model"
            for noun, s in zip(nouns, wrong, strict=True)
            if s.plugin
        )
        raise WrongModelKind(
            f"{model} is a {kind} language model: {listed}",
            where="model",
            do=f"take another model, or leave the {nouns[0]} out",
        )

"""`toolkit ablate`: a recipe with each of its steps alone, each left out, and all together.

The training is a part of its own where steps act through one: alone it is the plain training that any of them adds to.
Steps that only watch or explain are no parts, and neither are those that only others refer to. Two configurations that
are one, as with two parts, are run once. Each is run as `toolkit run` runs it, without controls and traffic.

Several workers share one folder: each takes a configuration that no other one has, and waits for the rest at the end.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.cache import make_folder, storing
from evenhand.configurations import NOT_OF_ONE, SPARE, failure_since, ran, reason_of
from evenhand.errors import RecipeError
from evenhand.plan import implied_place, needs_training, only_reads, stages_of
from evenhand.recipe import Recipe, resolve_steps, varied

if TYPE_CHECKING:
    from evenhand.ablation_ledger import Ledger
    from evenhand.discovery import Catalogue
    from evenhand.recipe import ResolvedStep
    from evenhand.report_record import RunRecord

TRAINING = "the training"
"""The part that stands for every `train` step."""
CHANGING = ("data", "objective", "architecture", "decoding")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The recipe with some of its parts."""

    parts: frozenset[str]
    name: str
    """What it is: `all`, `only X`, `without X`, or several of these."""
    folder: Path | None = None
    """Its run, None where it failed."""
    record: RunRecord | None = None
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """An ablation as its folder shows it."""

    folder: Path
    recipe: Recipe
    parts: Sequence[str]
    configurations: Sequence[Configuration]
    ledgers: Sequence[Ledger]
    """One for each benchmark."""

    def of(self, *parts: str) -> Configuration:
        """The configuration with exactly these parts."""
        return next(c for c in self.configurations if c.parts == frozenset(parts))


def ablate(recipe: Recipe, folder: Path, *, offline: bool = False) -> Ablation:
    """Run every configuration that the folder does not hold yet, and work out what earned what.

    A configuration that fails alone, such as a term without the data step that makes its column, is recorded with its
    reason. Raises RecipeError for a recipe with fewer than two parts, and what the whole recipe raises.
    """
    from evenhand.ablation_ledger import ledgers
    from evenhand.ablation_report import write_ablation_report
    from evenhand.discovery import discover
    from evenhand.manifest import now

    began, catalogue = now(), discover()
    steps = _steps_of(recipe, catalogue)
    parts, planned = parts_of(steps), plan_of(recipe)
    with storing(folder):
        make_folder(folder / "locks")
    done: dict[str, Configuration] = {}
    with closing(_shared(planned, folder / "locks")) as shared:
        for one in shared:
            place, is_whole = folder / "runs" / _folder_name(one), one.parts == frozenset(parts)
            try:
                varied_recipe = _with(recipe, one.parts, steps, catalogue)
                if not is_whole and (reason := failure_since(varied_recipe, place, began)):
                    done[one.name] = replace(one, reason=reason)
                    continue
                found = ran(varied_recipe, place, offline=offline or None)
                done[one.name] = replace(one, folder=found.folder, record=found.record)
            except NOT_OF_ONE:
                raise
            except Exception as error:  # what goes wrong in one configuration is its reason
                if is_whole:
                    raise
                done[one.name] = replace(one, reason=reason_of(error))
    configured = [done[one.name] for one in planned]
    whole = Ablation(folder=folder, recipe=recipe, parts=parts, configurations=configured, ledgers=())
    made = replace(whole, ledgers=ledgers(whole, steps))
    with storing(folder):
        write_ablation_report(made)
    return made


def plan_of(recipe: Recipe) -> list[Configuration]:
    """What an ablation of this recipe runs. Raises RecipeError for a recipe with fewer than two parts."""
    from evenhand.discovery import discover

    steps = _steps_of(recipe, discover())
    parts = parts_of(steps)
    if len(parts) < 2:
        only = f"it has only {parts[0]!r}" if parts else "it has none"
        raise RecipeError([f"steps: an ablation needs two parts that change something; {only}"], where=recipe.origin)
    return configurations(parts, steps)


def _steps_of(recipe: Recipe, catalogue: Catalogue) -> list[ResolvedStep]:
    return [s for s in resolve_steps(recipe, catalogue) if s.section == "steps"]


def _shared(planned: Sequence[Configuration], locks: Path) -> Generator[Configuration]:
    """Each configuration once, while no other worker has it; those that one has come last, when it is done with them.

    A worker that dies lets go of what it had.
    """
    from filelock import FileLock, Timeout

    later = []
    for one in planned:
        try:
            held = FileLock(locks / _folder_name(one)).acquire(timeout=0)
        except Timeout:
            later.append(one)
            continue
        with held:
            yield one
    for one in later:
        with FileLock(locks / _folder_name(one)):
            yield one


def parts_of(steps: Sequence[ResolvedStep]) -> list[str]:
    """What an ablation takes apart, by step id in the order of the recipe; the training last."""
    acting = [s for s in steps if s.active and s.plugin is not None and not only_reads(s)]
    found = [s.id for s in acting if not set(CHANGING).isdisjoint(stages_of(s))]
    trains = any(s.plugin is None and s.active for s in steps) or any(needs_training(s) for s in steps)
    return [*found, TRAINING] if trains else found


def whole_of(parts: frozenset[str], steps: Sequence[ResolvedStep]) -> frozenset[str]:
    """The parts with the training, where one of them acts only through it."""
    learning = {s.id for s in steps if needs_training(s)}
    return parts | {TRAINING} if parts & learning else parts


def configurations(parts: Sequence[str], steps: Sequence[ResolvedStep]) -> list[Configuration]:
    """All together first, then each alone, then each left out; what is the same comes once, with all its names."""
    names: dict[frozenset[str], list[str]] = {frozenset(parts): ["all"]}
    for part in parts:
        names.setdefault(whole_of(frozenset([part]), steps), []).append(f"only {part}")
    for part in parts:
        left = frozenset(p for p in parts if p != part)
        if part == TRAINING and whole_of(left, steps) != left:
            continue  # others act through it: it cannot be left out alone
        if left:
            names.setdefault(left, []).append(f"without {part}")
    return [Configuration(parts=key, name=", ".join(found)) for key, found in names.items()]


def _with(recipe: Recipe, parts: frozenset[str], steps: Sequence[ResolvedStep], catalogue: Catalogue) -> Recipe:
    """The recipe with these parts alone; all else that changes something is inactive."""
    known = parts_of(steps)
    idle = [s.id for s in steps if s.id in known and s.id not in parts]
    trainings = [s for s in steps if s.plugin is None and s.active]
    at = None
    if TRAINING not in parts:
        idle += [s.id for s in trainings]
    elif not trainings and not any(needs_training(s) for s in steps if s.id in parts):
        at = implied_place(steps)
    overrides = [*SPARE, *(f"steps.{ident}.active=false" for ident in idle)]
    if TRAINING not in parts and len(recipe.run.all_seeds) > 1:
        overrides.append("run.seeds=1")  # nothing differs between seeds where nothing is trained
    return varied(recipe, overrides, catalogue, train_at=at)


def _folder_name(one: Configuration) -> str:
    return one.name.partition(",")[0].replace(" ", "-")

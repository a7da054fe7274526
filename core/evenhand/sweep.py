"""`toolkit sweep`: many configurations of one recipe, measured on the validation items, and which of them are best.

Each is run as `toolkit run` runs it, without controls and traffic, on the half of the items that the final report does
not count (`item_halves`). What is best in one objective for what it costs in the others forms the front; each
configuration on it becomes a recipe, which is reported on the other half and says how many configurations were tried.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import digest_of, make_folder, storing, write_atomic
from evenhand.configurations import NOT_OF_ONE, SPARE, Ran, badness, metric_of, ran, reason_of
from evenhand.errors import RecipeError, UsageError
from evenhand.near_match import did_you_mean
from evenhand.progress import announce
from evenhand.recipe import Recipe, resolve_steps, varied
from evenhand.sweep_space import as_overrides
from evenhand.sweep_study import Study, Trial, demand_library, distinct
from evenhand.sweep_values import refused_values

if TYPE_CHECKING:
    from evenhand.discovery import Catalogue
    from evenhand.report_record import RunRecord

VALIDATION = ("evaluation.items=validation", *SPARE)
IDENTITY = "sweep.json"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep as its folder shows it."""

    folder: Path
    recipe: Recipe
    study: str
    """The digest of the recipe that is searched."""
    objectives: Sequence[str]
    """`BENCHMARK.METRIC` each."""
    trials: Sequence[Trial]
    """Each configuration once."""
    untouched: RunRecord
    records: dict[int, RunRecord]
    """By number, of the trials that are complete."""
    recipes: dict[int, Path]
    """By number, the recipes of those on the front."""

    @property
    def tried(self) -> int:
        """Configurations that came to an end."""
        return sum(t.state != "running" for t in self.trials)


def sweep(recipe: Recipe, folder: Path, *, offline: bool = False) -> Sweep:
    """Try configurations until there are as many as the recipe asks for; what the folder holds counts.

    Raises UsageError without optuna, and for a folder with another search; RecipeError for a recipe that cannot be
    searched; the last error where every configuration failed.
    """
    from evenhand.discovery import discover
    from evenhand.sweep_report import too_few

    demand_library()
    catalogue = discover()
    demand_searchable(recipe, catalogue)
    section = recipe.sweep
    assert section is not None
    with storing(folder):
        make_folder(folder)
        study_id = _claim(recipe, folder)
    # What every configuration is compared with; it also says which measures there are.
    plain = _untouched(recipe, folder, catalogue, offline=offline)
    names = _objectives(recipe, plain.record)
    if few := too_few(plain.record):
        announce(few)
    study = Study(folder, section, seed=recipe.run.seed, objectives=len(names))
    last: Exception | None = None
    while True:
        with study.next() as trial:
            if trial is None:
                break
            try:
                _try(recipe, study, trial, names, folder, catalogue, offline=offline)
            except NOT_OF_ONE:
                raise
            except Exception as error:  # noqa: BLE001 - what goes wrong in one configuration is its reason
                last = error
                study.fail(trial, reason_of(error))
    found = _gathered(recipe, folder, study_id, names, study, plain.record, catalogue, offline=offline)
    if last is not None and not found.records:
        raise last
    with study.alone():
        from evenhand.sweep_report import write_sweep_report

        write_sweep_report(found)
    return found


def trials_of(recipe: Recipe) -> int:
    """How many configurations a sweep of this recipe tries. Raises what `sweep` raises before it runs anything."""
    from evenhand.discovery import discover

    demand_library()
    demand_searchable(recipe, discover())
    assert recipe.sweep is not None
    return recipe.sweep.trials


def demand_searchable(recipe: Recipe, catalogue: Catalogue) -> None:
    """Raises RecipeError where a value that may be drawn is refused; every key is tried at its ends."""
    section = recipe.sweep
    if section is None or not section.parameters:
        raise RecipeError(
            ['sweep.parameters: there is nothing to search; name one: "steps.ID.strength" = {low = 0.1, high = 1.0}'],
            where=recipe.origin,
        )
    if problems := refused_values(recipe, section.parameters, catalogue):
        raise RecipeError(problems, where=recipe.origin)


def _claim(recipe: Recipe, folder: Path) -> str:
    """Write into the folder whose search it is; gives the search's digest."""
    whole = recipe.resolved()
    whole["sweep"] = {k: v for k, v in whole["sweep"].items() if k != "trials"}
    whole["run"] = {k: v for k, v in whole["run"].items() if k not in ("output", "name")}
    whole = json.loads(json.dumps(whole))
    path = folder / IDENTITY
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        other = sorted(key for key in {*there, *whole} if there.get(key) != whole.get(key))
        if other:
            raise UsageError(
                "this folder holds the search of another recipe",
                where=str(folder),
                known=f"they differ in {', '.join(other)}; only sweep.trials may grow",
                do="name another folder with --output, or take the change back",
            )
    else:
        write_atomic(path, json.dumps(whole, indent=1) + "\n")
    return digest_of(whole)


def _untouched(recipe: Recipe, folder: Path, catalogue: Catalogue, *, offline: bool) -> Ran:
    """The model as it is, on the validation items; one worker measures, others wait for it."""
    from filelock import FileLock

    steps = [s for s in resolve_steps(recipe, catalogue) if s.section == "steps"]
    idle = [f"steps.{s.id}.active=false" for s in steps]
    plain = varied(recipe, [*VALIDATION, *idle, "run.seeds=1"], catalogue)
    with FileLock(folder / "untouched.lock"):
        return ran(plain, folder / "untouched", offline=offline or None)


def _objectives(recipe: Recipe, record: RunRecord) -> list[str]:
    """`BENCHMARK.METRIC` each. Raises RecipeError for one that is not there or has no value on the untouched model."""
    assert recipe.sweep is not None
    names = list(recipe.sweep.objectives)
    if not names:
        headline = record.headline
        names = [b.id for b in [headline, *record.quality_benchmarks[:1]] if b is not None]
        if record.primary is not None and headline is not None:
            names[0] = f"{headline.id}.{record.primary.metric}"
    problems, found = [], []
    for name in names:
        metric = metric_of(record, name)
        if metric is None:
            ident = name.partition(".")[0]
            known = [f"{b.id}.{m.name}" for b in record.benchmarks for m in b.metrics if b.id == ident]
            listed = known or [b.id for b in record.benchmarks]
            problems.append(f"sweep.objectives: no {name!r}{did_you_mean(name, listed)} (known: {', '.join(listed)})")
        elif badness(metric, metric.after.value) is None:
            problems.append(f"sweep.objectives: {name!r} is not defined on the validation items of the untouched model")
        else:
            found.append(f"{name.partition('.')[0]}.{metric.name}")
    if not names:
        problems.append("sweep.objectives: the recipe has no benchmark, so nothing tells a good configuration")
    if problems:
        raise RecipeError(problems, where=recipe.origin)
    return found


def _configured(recipe: Recipe, trial: Trial, catalogue: Catalogue) -> Recipe:
    return varied(recipe, [*VALIDATION, *as_overrides(trial.values)], catalogue)


def _place(folder: Path, trial: Trial) -> Path:
    return folder / "trials" / f"{trial.number:04d}"


def _try(
    recipe: Recipe, study: Study, trial: Trial, names: Sequence[str], folder: Path, catalogue: Catalogue, *,
    offline: bool,
) -> None:  # fmt: skip
    for same in study.trials():  # equal recipes give equal numbers
        if same.state != "running" and dict(same.values) == dict(trial.values):
            study.tell(trial, same.objectives) if same.objectives else study.fail(trial, same.reason)
            return
    done = ran(_configured(recipe, trial, catalogue), _place(folder, trial), offline=offline or None)
    values = []
    for name in names:
        metric = metric_of(done.record, name)
        value = None if metric is None else badness(metric, metric.after.value)
        if value is None or not math.isfinite(value):
            study.fail(trial, f"{name} is not defined for it")
            return
        values.append(value)
    study.tell(trial, values)


def _gathered(
    recipe: Recipe, folder: Path, study_id: str, names: Sequence[str], study: Study, untouched: RunRecord,
    catalogue: Catalogue, *, offline: bool,
) -> Sweep:  # fmt: skip
    trials = distinct(study.trials())
    records: dict[int, RunRecord] = {}
    for trial in trials:
        if trial.state == "complete":
            # The very run that its numbers are from, also where a later one was begun and not finished.
            configured = _configured(recipe, trial, catalogue)
            records[trial.number] = ran(configured, _place(folder, trial), offline=offline or None).record
    found = Sweep(
        folder=folder, recipe=recipe, study=study_id[:16], objectives=names, trials=trials, untouched=untouched,
        records=records, recipes={},
    )  # fmt: skip
    with study.alone():
        for old in (folder / "front").glob("*.toml"):
            old.unlink()
        for trial in trials:
            if trial.front:
                path = folder / "front" / f"{recipe.name}-{trial.number:04d}.toml"
                write_atomic(path, _chosen(found, trial, path))
                found.recipes[trial.number] = path
    return found


def _chosen(found: Sweep, trial: Trial, path: Path) -> str:
    """The recipe of a configuration on the front: what it sets over the searched recipe, and how it was found."""
    from evenhand.recipe_base import KEY
    from evenhand.toml_writing import toml_document

    recipe = found.recipe
    overrides = [*recipe.overrides, *as_overrides(trial.values)]
    whole = settled(recipe, overrides)
    if recipe.path is not None:
        below = Path(os.path.relpath(recipe.path.resolve(), path.parent.resolve())).as_posix()
        table = {KEY: below, **changed_keys(whole, overrides)}
    elif recipe.origin != "recipe":
        table = {KEY: recipe.origin, **changed_keys(whole, overrides)}
    else:
        table = whole
    table["evaluation"] = {**table.get("evaluation", {}), "items": "reported"}
    table["searched"] = {"configurations": found.tried, "items": "validation", "study": found.study}
    head = f"# Configuration {trial.number} of a sweep of {found.tried}, reported on the items that it did not see.\n\n"
    return head + toml_document(table)


def settled(recipe: Recipe, overrides: Sequence[str]) -> dict[str, Any]:
    """The whole table of a recipe, what it extends and overrides written into it, and every entry with an id."""
    from evenhand.overrides import apply_overrides
    from evenhand.recipe_ids import give_ids
    from evenhand.recipe_model import LISTS
    from evenhand.recipe_text import parsed

    table = parsed(recipe.source, recipe.origin)
    for name in LISTS:
        give_ids(table, name)
    apply_overrides(table, overrides)
    return table


def changed_keys(whole: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """What overrides set in a settled table: section -> keys, or list -> entries by id; of nested values the whole."""
    from evenhand.recipe_model import LISTS

    changes: dict[str, Any] = {}
    for override in overrides:
        head, key, *rest = (part.strip() for part in override.partition("=")[0].split("."))
        if head not in LISTS:
            changes.setdefault(head, {})[key] = whole[head][key]
            continue
        listed: list[dict[str, Any]] = changes.setdefault(head, [])
        own = next((c for c in listed if c["id"] == key), None)
        if own is None:
            own = {"id": key}
            listed.append(own)
        own[rest[0]] = next(e for e in whole[head] if e["id"] == key)[rest[0]]
    return changes

"""The model that is evaluated: any that a recipe may name, or a run's finished model with its decoding rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.errors import RunNotFound
from evenhand.report_reading import parse_run, raw_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evenhand.contributions import DecodingRule
    from evenhand.manifest import Manifest
    from evenhand.models import LoadedModel
    from evenhand.plugin import Plugin
    from evenhand.recipe import Recipe, ResolvedStep
    from evenhand.report_record import RunRecord


def finished_run(name: str) -> Path | None:
    """The folder with a run's finished model; None where the name means another model.

    Raises RunNotFound for a run folder without a model, and ModelNotFound for a name that certainly leads to none.
    """
    from evenhand.resolution import impossible
    from evenhand.restoring import finished_folder

    place = Path(name).expanduser()
    found = finished_folder(place)
    if found is not None:
        return place
    if (place / "run.json").is_file() and not (place / "config.json").is_file():
        record = parse_run(raw_run(place), where=str(place))
        what = "this is an evaluation" if record.kind == "evaluation" else f"this run is not complete ({record.status})"
        raise RunNotFound(
            f"{what}, so it holds no model", where=str(place), do="name a model, or the folder of a complete run"
        )
    problem = impossible(name)
    if problem is not None:
        raise problem
    return None


def demand_measurable(recipe: Recipe, steps: Sequence[ResolvedStep], finished: Path | None) -> str:
    """The model's kind, from its configuration alone, before anything is loaded.

    Raises WrongModelKind where a benchmark does not judge this kind, and DigestMismatch for an altered data file.
    """
    from evenhand import mirrors, models
    from evenhand.plan import check_kinds
    from evenhand.restoring import finished_folder, read_facts

    section = recipe.model
    place = None if finished is None else finished_folder(finished)
    if place is not None:
        kind, name = str(read_facts(place)["kind"]), str(finished)
    else:
        resolved = models.resolve(section.name, offline=recipe.run.offline)
        kind = models.checked_kind(resolved, kind=section.kind, trust_remote_code=section.trust_remote_code)
        name = resolved.display_name
    check_kinds(steps, kind, name)
    for step in steps:
        if step.plugin is not None:
            folder = getattr(step.options, "data", None) or recipe.evaluation.data
            for known in step.plugin.files_for(step.options):
                mirrors.check_file(known, folder)
    return kind


def load_evaluated(
    recipe: Recipe, finished: Path | None, manifest: Manifest
) -> tuple[LoadedModel, list[DecodingRule], bool]:
    """The model, its decoding rules, and whether it may be kept in the cache of measurements under its digest."""
    from evenhand import devices, models
    from evenhand.restoring import load_finished

    section = recipe.model
    device = devices.chosen(section.device, where="model.device")
    devices.tell_slow_format(section.dtype, device, lambda text: manifest.event("model", text))
    if finished is None:
        resolved = models.resolve(section.name, offline=recipe.run.offline)
        loaded = models.load(
            resolved, kind=section.kind, dtype=section.dtype, device=device, trust_remote_code=section.trust_remote_code
        )
        manifest["model"] = {k: v for k, v in vars(loaded.info).items() if k != "folder"}
        return loaded, [], True
    result = load_finished(finished, dtype=section.dtype, device=device)
    facts = {k: v for k, v in vars(result.loaded.info).items() if k != "folder"}
    run = finished.resolve()
    run = run.parent if run.name == "model" and not (run / "model").is_dir() else run
    facts |= {
        "name": section.name,
        "display_name": f"{result.facts['base']}, as {run.name} left it",
        "rules": [rule.name for rule in result.rules],
    }
    manifest["model"] = facts
    return result.loaded, result.rules, result.plain


def steps_of(finished: Path | None, manifest: Manifest) -> list[tuple[ResolvedStep, Plugin]]:
    """The steps that the run of a finished model took, for the words that they work with."""
    if finished is None:
        return []
    place = next((p for p in (finished, finished.parent) if (p / "run.json").is_file()), None)
    if place is None:
        manifest.event("model", "there is no run.json beside the model: words of its steps are not known")
        return []
    from evenhand.discovery import discover
    from evenhand.recipe_model import StepEntry, TrainingSection
    from evenhand.recipe_steps import match_steps

    record: RunRecord = parse_run(raw_run(place), where=str(place))
    entries = [
        StepEntry(use=s.use, id=s.id, active=s.active, options=s.options) for s in record.steps if s.use != "train"
    ]
    steps, problems = match_steps(entries, (), discover(), training=TrainingSection(), kind=None)
    for problem in problems:
        manifest.event("model", f"words of one of its steps are not known: {' '.join(problem.split())}")
    return [(s, s.plugin(s.options)) for s in steps if s.plugin is not None]

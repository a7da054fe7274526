"""The execution of a recipe: it is examined whole, given a folder, and taken through its life cycle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import storing, write_atomic
from evenhand.errors import RecipeError, UsageError
from evenhand.examination import examined
from evenhand.expectations import demand_reproduced
from evenhand.failed_run import recorded
from evenhand.manifest import Manifest
from evenhand.model_shape import shape_of
from evenhand.named_models import model_folder
from evenhand.opposing_steps import opposing
from evenhand.plan import Plan, check_kinds
from evenhand.processes import count
from evenhand.recipe import Recipe
from evenhand.recipe_inputs import other_models
from evenhand.remarks import remarks
from evenhand.report_reading import raw_run
from evenhand.run_folders import run_folder, run_name
from evenhand.stopping import resume_command
from evenhand.training_log import integrations
from evenhand.unfit_steps import unfit

if TYPE_CHECKING:
    from evenhand.resolution import ResolvedModel


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    folder: Path
    record: dict[str, Any]
    """run.json."""

    @property
    def benchmarks(self) -> list[dict[str, Any]]:
        """Each benchmark's metrics before and after with intervals, and its verdict."""
        return list(self.record["benchmarks"])

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def load(self) -> Any:
        """The resulting model, as `evenhand.load` gives it."""
        from evenhand.usable import load_result

        return load_result(self.folder)

    def __repr__(self) -> str:
        verdicts = ", ".join(f"{b['id']}: {b['verdict']}" for b in self.benchmarks)
        return f"<run {self.record['name']}: {verdicts}>"


def execute(
    recipe: Recipe,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    strict: bool = False,
    offline: bool | None = None,
    goes_on: str = "",
) -> RunResult:
    """Run a recipe and write its run folder; raises `EvenhandError` and leaves run.json with what was reached.

    What is wrong with the recipe or its model is told before there is a folder.

    `output` is the folder that the run folder is made in (default `runs`); `resume` continues the newest unfinished run
    of the same recipe there; `strict` lets isolated faults fail the run, and raises NotReproduced after a run that did
    not find a value that the recipe expects. `goes_on` says how it is continued after it was stopped, where that is
    not by `toolkit run`: as a part of a larger work.
    """
    from evenhand.discovery import discover

    if count() > 1:
        raise UsageError(
            f"a run takes one process, {count()} were started",
            where="run",
            known="its steps, proofs and files belong together",
            do="start it without a launcher; in several processes, evenhand.train trains and `toolkit eval` measures",
        )
    off = recipe.run.offline if offline is None else offline
    work = examined(recipe, discover())
    begun = run_folder(recipe, output, resume) if resume else None
    model = _usable_model(recipe, work, offline=off)
    folder = begun or run_folder(recipe, output, resume)
    from evenhand import life_cycle

    with storing(folder):
        manifest = Manifest(folder, recipe, run_name(recipe))
        if resume:
            manifest.continue_from(folder)
        write_atomic(folder / "recipe.toml", recipe.source)
        manifest.write()
        with recorded(manifest, work, goes_on=goes_on or f"continue with: {resume_command(recipe, output)}"):
            for sentence in [*opposing(work.steps), *remarks([*work.steps, *work.benchmarks, *work.controls])]:
                manifest.event("steps", sentence)
            life_cycle.run(recipe, work, model, folder, manifest, resume=resume, strict=strict, offline=off)
    result = RunResult(folder, raw_run(folder))
    if strict:
        demand_reproduced(result.record["expectations"], where=str(folder))
    return result


def _usable_model(recipe: Recipe, work: Plan, *, offline: bool) -> ResolvedModel:
    """The model's folder, when its device is there and all steps work on its kind and fit its shape.

    Raises RecipeError for steps that do not fit, and what `devices.chosen`, `integrations`, `models.resolve` and
    `check_kinds` raise.
    """
    from evenhand import devices, models
    from evenhand.model_kind import configuration_of

    section = recipe.model
    if section.endpoint is not None:
        raise UsageError(
            "a run measures weights and probabilities, which an endpoint does not give",
            where="model.endpoint",
            do="answer requests under its rules by evenhand.connect(RECIPE), or name a model that is loaded here",
        )
    devices.chosen(section.device, where="model.device")
    for step in work.steps:
        if step.plugin is None and step.active:
            integrations(step.options.report_to)  # type: ignore[union-attr]
    resolved = models.resolve(section.name, offline=offline)
    for where, name in other_models([*work.steps, *work.benchmarks]):
        model_folder(name, offline=offline, where=where)
    kind = models.checked_kind(resolved, kind=section.kind, trust_remote_code=section.trust_remote_code)
    check_kinds([*work.steps, *work.benchmarks], kind, resolved.display_name)
    config = configuration_of(resolved, trust_remote_code=section.trust_remote_code)
    if problems := unfit(work.steps, shape_of(config.to_dict())):
        raise RecipeError(problems, where=recipe.origin)
    return resolved

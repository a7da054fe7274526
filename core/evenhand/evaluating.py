"""Benchmarks on a model without any mitigation: `toolkit eval`, and `evenhand.evaluate`.

The same benchmarks, engine and cache as in a run: what one of both has measured, the other does not measure again. The
model is anything that a recipe's `model.name` may be, or a run folder: then the finished model, its decoding rules
in force.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import storing
from evenhand.compose import Composer
from evenhand.errors import DataNotFound, EvenhandError, RecipeError, RecipeProblem, RunNotFound, UsageError
from evenhand.execution import explained, new_folder
from evenhand.manifest import Manifest, environment, provenance
from evenhand.plan import Plan, check_kinds
from evenhand.processes import is_first, rank_and_count
from evenhand.recipe import Recipe, ResolvedStep, recipe_of, resolve_steps
from evenhand.report_reading import parse_run, raw_run

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, DecodingRule, ItemRecord
    from evenhand.discovery import Catalogue
    from evenhand.models import LoadedModel
    from evenhand.plugin import Plugin
    from evenhand.report_record import RunRecord

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]

WHERE = "evaluation"
Asked = str | tuple[str, Mapping[str, Any]]
"""A benchmark by name, or by name with options."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    folder: Path
    record: dict[str, Any]
    """run.json."""

    @property
    def benchmarks(self) -> list[dict[str, Any]]:
        """Each benchmark's metrics with intervals (under `after`), items, flags."""
        return list(self.record["benchmarks"])

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def records(self, benchmark: str) -> list[ItemRecord]:
        """The scores of a benchmark, item by item; by its id."""
        from evenhand.item_records import read_records

        return read_records(self.folder / "items" / f"{benchmark}.parquet")["after"]

    def __str__(self) -> str:
        from evenhand.evaluation_summary import as_text

        return as_text(self.folder)

    def __repr__(self) -> str:
        return f"<evaluation of {self.record['model']['display_name']}: {', '.join(b['id'] for b in self.benchmarks)}>"


def evaluate(
    model: str | Path,
    benchmarks: Sequence[Asked],
    *,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    data: str | Path | None = None,
    output: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    seed: int = 0,
    offline: bool = False,
    trust_remote_code: bool = False,
) -> Evaluation:
    """Measure a model by benchmarks, and write an evaluation folder into `output` (default `runs`).

    Under `accelerate launch` or `torchrun` the processes share the work; only the first one's folder is kept.
    `overrides` are `BENCHMARK.key=value`, or keys of the sections model, evaluation and run as in a recipe; `limit` is
    given to each benchmark with such an option. Raises `EvenhandError`; all problems of the call come at once, before
    anything is loaded.
    """
    from evenhand import devices
    from evenhand.discovery import discover

    catalogue = discover()
    if isinstance(benchmarks, str) or not benchmarks:
        raise _no_benchmark(catalogue)
    recipe, steps = _checked(
        {
            "model": {
                "name": str(model), "dtype": dtype, "device": device, "trust_remote_code": trust_remote_code,
            },
            "evaluation": {} if data is None else {"data": str(data)},
            "run": {"seed": seed, "offline": offline},
            "benchmarks": [_entry(asked, limit, catalogue) for asked in benchmarks],
        },
        overrides,
        catalogue,
        limit,
    )  # fmt: skip
    finished = finished_model(recipe.model.name)
    name = recipe.run.name or f"eval-{_short(recipe.model.name)}"
    rank_and_count()  # joins the processes, each with a device of its own, before anything is loaded
    devices.chosen(recipe.model.device, where="model.device")
    # Of several processes all measure, and only the first leaves something behind.
    place = Path(output or recipe.run.output or "runs") if is_first() else Path(tempfile.mkdtemp(prefix="evenhand-"))
    if not is_first():
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    folder = new_folder(place, name)
    with storing(folder):
        manifest = Manifest(folder, recipe, name)
        manifest["kind"] = "evaluation"
        manifest.write()
        try:
            _measure(recipe, steps, finished, folder, manifest)
            record = raw_run(folder)
        except BaseException as error:
            told = explained(error, Plan((), tuple(steps)))
            manifest.event("end", f"{type(told).__name__}: {told}")
            manifest.finish("failed")
            if told is error:
                raise
            raise told from error
    return Evaluation(folder, record)


# ------------------------------------------------------------------------------------------------------ the call
def _entry(asked: Asked, limit: int | None, catalogue: Catalogue) -> dict[str, Any]:
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


def _checked(
    table: dict[str, Any], overrides: Sequence[str], catalogue: Catalogue, limit: int | None
) -> tuple[Recipe, list[ResolvedStep]]:
    """The call as a recipe without steps. Raises RecipeError in the words of the call."""
    given: list[dict[str, Any]] = table["benchmarks"]
    try:
        recipe = recipe_of(table, overrides, origin=WHERE, catalogue=catalogue, sections=("model", "evaluation", "run"))
        steps = [s for s in resolve_steps(recipe, catalogue) if s.section == "benchmarks"]
    except RecipeError as error:
        raise RecipeError([_in_words(problem, given) for problem in error.problems], where=WHERE) from None
    except DataNotFound as error:
        where = error.where.replace("benchmarks.", "")
        raise DataNotFound(error.what, where=where, known=error.known, do=error.do) from None
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


def _no_benchmark(catalogue: Catalogue) -> UsageError:
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


def _short(name: str) -> str:
    """A model's name as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).name or "model").strip("-.") or "model"


# ----------------------------------------------------------------------------------------------------- the model
def finished_model(name: str) -> Path | None:
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


def _load(recipe: Recipe, finished: Path | None, manifest: Manifest) -> tuple[LoadedModel, list[DecodingRule], bool]:
    """The model, its decoding rules, and whether it may be kept in the cache of measurements under its digest."""
    from evenhand import devices, models
    from evenhand.restoring import load_finished

    section = recipe.model
    device = devices.chosen(section.device, where="model.device")
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


def _steps_of(finished: Path | None, manifest: Manifest) -> list[tuple[ResolvedStep, Plugin]]:
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


# --------------------------------------------------------------------------------------------------- the measuring
def _measure(
    recipe: Recipe, steps: Sequence[ResolvedStep], finished: Path | None, folder: Path, manifest: Manifest
) -> None:
    import datasets
    import torch

    datasets.disable_progress_bars()  # ours are shown instead

    from evenhand import measuring
    from evenhand.contamination import Contamination
    from evenhand.evaluation_entry import measured_entry
    from evenhand.item_records import write_records
    from evenhand.measured import Measured
    from evenhand.progress import progress
    from evenhand.report import write_report

    with manifest.timed("loading the model"):
        loaded, rules, plain = _load(recipe, finished, manifest)
    check_kinds(steps, loaded.info.kind, loaded.info.display_name)
    manifest["environment"] = environment(torch.get_num_threads(), str(loaded.model.device))
    manifest["distributions"] = provenance(steps)
    benchmarks = _benchmarks(recipe, steps, loaded, folder, manifest)
    known = Contamination(
        {name: benchmark for name, (_, benchmark) in benchmarks.items()},
        _steps_of(finished, manifest),
        recipe.evaluation.contamination,
    )
    how: dict[str, Any] = {"when": "", "on_event": lambda text: manifest.event("measuring", text)}
    with manifest.timed("measuring"):
        if plain:
            reused = lambda name: manifest.event("measuring", f"{name}: taken from an earlier measurement")  # noqa: E731
            records, _ = measuring.baseline(benchmarks, loaded, recipe, **how, on_reuse=reused)
        else:
            measuring.demand_finite(loaded)
            records, _ = measuring.measure(benchmarks, loaded, rules, recipe, **how)
    records = known.marked(records)
    if finished is not None:
        manifest["contamination"] = known.as_dict()
    mode = Measured(loaded.model, loaded.tokenizer, loaded.info.kind, rules, recipe.model.dtype).mode
    settings = recipe.evaluation
    with progress("Resampling items", total=len(benchmarks), unit="benchmarks") as bar:
        for name, (step, benchmark) in benchmarks.items():
            entry = measured_entry(
                benchmark, records[name], resamples=settings.resamples, confidence=settings.confidence,
                seed=recipe.run.seed,
            )  # fmt: skip
            manifest["benchmarks"].append({**entry, "id": name, "use": step.use, "scoring": mode})
            write_records(folder / "items" / f"{name}.parquet", [], records[name])
            bar.advance()
    manifest.finish("complete")
    write_report(folder)


def _benchmarks(
    recipe: Recipe, steps: Sequence[ResolvedStep], loaded: LoadedModel, folder: Path, manifest: Manifest
) -> Benchmarks:
    """The benchmarks of a run that takes no step."""
    from evenhand.life import STATE, Life
    from evenhand.measuring import benchmarks_of
    from evenhand.services import Services

    made = [(s, s.plugin(s.options)) for s in steps if s.plugin is not None]
    services = Services(
        model=loaded.model, tokenizer=loaded.tokenizer, kind=loaded.info.kind, seed=recipe.run.seed,
        folder=folder / STATE, settings=recipe.training, load_base=lambda: loaded.model,
    )  # fmt: skip
    life = Life(
        recipe=recipe, manifest=manifest, composer=Composer(made), loaded=loaded, services=services, folder=folder,
        rows=None, resume=False, offline=recipe.run.offline,
    )  # fmt: skip
    return benchmarks_of(life.composer, steps, life.context)

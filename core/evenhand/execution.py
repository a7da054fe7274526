"""The life cycle of a run, top to bottom: prepare, measure, take each step, measure again, watch, explain, keep."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import digest_of, make_folder, storing, write_atomic
from evenhand.compose import Composer
from evenhand.contributions import Request
from evenhand.errors import EvenhandError, OutOfMemory, RunNotFound, UsageError, told
from evenhand.examination import examined
from evenhand.expectations import demand_reproduced
from evenhand.guard import blamed, memory_ran_out, stopped
from evenhand.manifest import Manifest, environment, provenance, sample_dict, section_dict, step_entry
from evenhand.named_models import model_folder
from evenhand.opposing_steps import opposing
from evenhand.plan import Plan, check_kinds, stages_of
from evenhand.processes import count
from evenhand.recipe import Recipe
from evenhand.recipe_inputs import other_models
from evenhand.report_reading import raw_run
from evenhand.row_keeping import keep_refused
from evenhand.training_log import integrations

if TYPE_CHECKING:
    from evenhand.resolution import ResolvedModel

SAMPLES = 6
"""Prompts whose answers before and after are shown side by side."""


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
        from evenhand.restoring import load_result

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
) -> RunResult:
    """Run a recipe and write its run folder; raises `EvenhandError` and leaves run.json with what was reached.

    What is wrong with the recipe or its model is told before there is a folder.

    `output` is the folder that the run folder is made in (default `runs`); `resume` continues the newest unfinished run
    of the same recipe there; `strict` lets isolated faults fail the run, and raises NotReproduced after a run that did
    not find a value that the recipe expects.
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
    begun = _folder(recipe, output, resume) if resume else None
    model = _usable_model(recipe, work, offline=off)
    folder = begun or _folder(recipe, output, resume)
    with storing(folder):
        manifest = Manifest(folder, recipe, _name(recipe))
        if resume:
            manifest.continue_from(folder)
        write_atomic(folder / "recipe.toml", recipe.source)
        manifest.write()
        try:
            for sentence in opposing(work.steps):
                manifest.event("steps", sentence)
            _run(recipe, work, model, folder, manifest, resume=resume, strict=strict, offline=off)
        except BaseException as error:
            shown = explained(error, work)
            manifest.event("end", f"{type(shown).__name__}: {told(shown)}")
            manifest.finish("failed")
            if shown is error:
                raise
            raise shown from error
    result = RunResult(folder, raw_run(folder))
    if strict:
        demand_reproduced(result.record["expectations"], where=str(folder))
    return result


def _usable_model(recipe: Recipe, work: Plan, *, offline: bool) -> ResolvedModel:
    """The model's folder, when its device is there and all steps work on its kind.

    Raises what `devices.chosen`, `integrations`, `models.resolve` and `check_kinds` raise.
    """
    from evenhand import devices, models

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
    return resolved


def explained(error: BaseException, work: Plan) -> BaseException:
    """The error as a user should read it: what memory or a plugin did is not a defect of the toolkit."""
    if isinstance(error, EvenhandError | OSError) or stopped(error):
        return error
    if memory_ran_out(error):
        do = "use a smaller model, or lower evaluation.batch_tokens or training.batch_size"
        return OutOfMemory("memory ran out", known=str(error).partition("\n")[0][:160], do=do)
    return blamed(error, [*work.steps, *work.benchmarks]) or error


def _run(
    recipe: Recipe, work: Plan, resolved: ResolvedModel, folder: Path, manifest: Manifest, *,
    resume: bool, strict: bool, offline: bool,
) -> None:  # fmt: skip
    import datasets
    import torch

    datasets.disable_progress_bars()  # ours are shown instead

    from evenhand import continuity, devices, expectations, measuring, models, portable, proofs, traffic
    from evenhand.assessment import assess
    from evenhand.axis_results import demand_defined
    from evenhand.contamination import Contamination
    from evenhand.kept_records import MEASURED
    from evenhand.life import Life
    from evenhand.model_card import write_card
    from evenhand.primary import declared
    from evenhand.progress import progress
    from evenhand.report import write_report
    from evenhand.sample import Table
    from evenhand.services import Services

    # ------------------------------------------------------------------------------------------ prepare
    device = devices.chosen(recipe.model.device, where="model.device")
    with manifest.timed("loading the model"):
        how: dict[str, Any] = {
            "kind": recipe.model.kind, "dtype": recipe.model.dtype, "device": device,
            "trust_remote_code": recipe.model.trust_remote_code,
        }  # fmt: skip
        loaded = models.load(resolved, **how)
    manifest["environment"] = environment(torch.get_num_threads(), str(loaded.model.device))
    manifest["model"] = {k: v for k, v in vars(loaded.info).items() if k != "folder"}
    manifest["distributions"] = provenance([*work.steps, *work.benchmarks, *work.controls])
    manifest["steps"] = [step_entry(s) for s in work.steps]
    data = _load_data(recipe, work, manifest, offline)
    prompts = _prompts(recipe, loaded.info.kind)
    began_with = continuity.facts_of(
        manifest, [*work.steps, *work.benchmarks], [r.prompt for r in prompts], text=manifest["data"].get("digest", "")
    )
    if resume:
        for text in continuity.demand_same(folder / ".state", began_with):
            manifest.event("resume", text)
    else:
        continuity.begin(folder / ".state", began_with)
    plugins = {(s.section, s.id): s.plugin(s.options) for s in (*work.steps, *work.benchmarks) if s.plugin}
    composer = Composer([(s, plugins[s.section, s.id]) for s in (*work.steps, *work.benchmarks) if s.plugin])
    services = Services(
        model=loaded.model, tokenizer=loaded.tokenizer, kind=loaded.info.kind, seed=recipe.run.seed,
        folder=folder / ".state", settings=recipe.training, load_base=lambda: models.load(resolved, **how).model,
        on_event=lambda text: manifest.event("services", text), keep=True,
    )  # fmt: skip
    life = Life(
        recipe=recipe, manifest=manifest, composer=composer, loaded=loaded, services=services, folder=folder,
        rows=data, resume=resume, strict=strict, offline=offline, began_with=digest_of(began_with),
    )  # fmt: skip
    life.step_order = list(work.steps)

    # ------------------------------------------------------------------------------------------- before
    asked = measuring.benchmarks_of(composer, work.benchmarks, life.context)
    benchmarks, manifest["primary"] = declared(asked, recipe.evaluation.primary, origin=recipe.origin)
    expectations.demand_metrics(recipe, {name: benchmark for name, (_, benchmark) in benchmarks.items()})
    with manifest.timed("comparing texts"):
        used = [(s, plugins[s.section, s.id]) for s in work.steps if s.plugin]
        given = {name: benchmark for name, (_, benchmark) in benchmarks.items()}
        life.contamination = overlap = Contamination(
            given, used, recipe.evaluation.contamination, keep=lambda facts: manifest.data.update(contamination=facts)
        )
        overlap.demand_early(work, data)
        services.on_train = overlap.training
    on_event = lambda text: manifest.event("measuring", text)  # noqa: E731
    with manifest.timed("measuring before"):
        reused: list[str] = []
        before, mode = measuring.baseline(benchmarks, loaded, recipe, on_event=on_event, on_reuse=reused.append)
        manifest["baseline"] = {"measured": [name for name in benchmarks if name not in reused], "reused": reused}
    before = overlap.marked(before)
    for name, (_, benchmark) in benchmarks.items():
        demand_defined(benchmark, Table.of(before[name]))
    with manifest.timed("answers before"):
        first = services.generate(prompts[:SAMPLES], rules=()) if prompts else []
    manifest.write()

    # -------------------------------------------------------------------------------------------- steps
    for step in work.steps:
        life.reach(step, plugins.get((step.section, step.id)))
        manifest.write()

    # -------------------------------------------------------------------------------------------- after
    rules = [rule for _, rule in life.rules]
    after = before
    if any(step.active for step in work.steps):  # else nothing was done, and the model is the same
        with manifest.timed("measuring after"):
            after, mode = _after(life, benchmarks, rules)
        after = overlap.marked(after)
    manifest["contamination"] = overlap.as_dict()
    assess(life, work, benchmarks, before, after, mode)
    manifest["expectations"] = expectations.judge(recipe.expect, manifest["benchmarks"])
    manifest.write()

    # ------------------------------------------------------------------------------------ watch, explain
    with manifest.timed("monitoring"):
        answers = traffic.serve(life, prompts) if prompts else []
    manifest["samples"] = [sample_dict(b, a) for b, a in zip(first, answers, strict=False)]
    _prove_monitors(life, bool(prompts))
    result = RunResult(folder, manifest.data)
    with manifest.timed("explaining"):
        for step in work.steps:
            if step.active and "transparency" in stages_of(step):
                with manifest.timed(f"step {step.id}"), progress(f"Explaining: step {step.id}"):
                    _explain(life, step, result, strict)

    # --------------------------------------------------------------------------------------------- keep
    with manifest.timed("saving the model"), progress("Saving the model, and loading it again"):
        measured = proofs.probe_logits(loaded.model, loaded.tokenizer)
        spoken = _spoken(life)
        states = portable.save_model(life, portable.fold_all(life))
        manifest["portability"] = portable.prove_reload(life, measured, spoken)
    for entry in manifest["steps"]:
        entry["state"] = states.get(entry["id"], entry["state"])
        entry["seconds"] = manifest["timings"].get(f"step {entry['id']}", 0.0)
    for scratch in ("training", "services", "controls", "seeds", MEASURED):
        shutil.rmtree(folder / ".state" / scratch, ignore_errors=True)  # a complete run is not resumed
    for own in (folder / ".state" / "steps").glob("*/scratch"):
        shutil.rmtree(own, ignore_errors=True)
    manifest.finish("complete")
    write_card(folder)
    write_report(folder)


def _after(life: Any, benchmarks: Any, rules: Any) -> tuple[Any, str]:
    """The records of the result, by benchmark id, and how scores came about."""
    from evenhand.kept_records import each_once
    from evenhand.measured import Measured
    from evenhand.measuring import measure

    recipe, loaded = life.recipe, life.loaded
    on_event = lambda text: life.manifest.event("measuring", text)  # noqa: E731
    found = each_once(
        life, "after", benchmarks,
        lambda one: measure(one, loaded, rules, recipe, when="after", on_event=on_event)[0],
    )  # fmt: skip
    mode = Measured(loaded.model, loaded.tokenizer, loaded.info.kind, rules, recipe.model.dtype, seed=recipe.run.seed)
    return found, mode.mode


def _explain(life: Any, step: Any, result: RunResult, strict: bool) -> None:
    try:
        arguments = {"run": life.context(step), "model": life.loaded.model, "result": result}
        sections = life.composer.call("transparency", step, **arguments)
    except Exception as error:
        if strict:
            raise
        life.manifest.fault(step, "transparency", str(error))
        return
    life.manifest["sections"] += [section_dict(step.id, s) for s in sections]


def _spoken(life: Any) -> dict[str, str]:
    """What the model answers under its decoding rules, which the saved one must repeat."""
    from evenhand.portable import answers_to_probes

    if not life.rules:
        return {}  # equal logits are proof enough
    loaded = life.loaded
    return answers_to_probes(loaded.model, loaded.tokenizer, loaded.info.kind, [rule for _, rule in life.rules])


def _prove_monitors(life: Any, served: bool) -> None:
    from evenhand.proofs import Proof

    if not served:
        if life.monitors:
            life.manifest.event("monitoring", "no requests were served, so the monitors saw nothing")
        return
    seen = life.manifest["monitoring"]["requests"]
    for step, _ in life.monitors:
        life._prove(step, [Proof("monitoring", seen > 0, f"{seen} responses seen", float(seen))])


def _load_data(recipe: Recipe, work: Plan, manifest: Manifest, offline: bool) -> Any:
    """The training text, if anything trains."""
    if not work.trains:
        return None
    from evenhand.data import load_data

    with manifest.timed("loading the data"):
        found = load_data(recipe.data, offline=offline, folders=recipe.folders, mirrors=recipe.evaluation.data)
    manifest["data"] = {
        "source": found.source,
        "rows": len(found.rows),
        "rows_after": len(found.rows),
        "digest": found.digest,
        "licence": found.licence,
        "quarantined": dict(Counter(row.reason for row in found.refused)),
        "quarantine": keep_refused(manifest.folder, found.refused),
    }
    return found.rows


def _prompts(recipe: Recipe, kind: str) -> list[Request]:
    if kind != "causal" or recipe.traffic.limit == 0:
        return []
    from evenhand.data import read_texts

    texts = read_texts(recipe.traffic.prompts, folders=recipe.folders, what="prompts")
    return [Request(prompt=t, max_new_tokens=recipe.traffic.max_new_tokens) for t in texts[: recipe.traffic.limit]]


# --------------------------------------------------------------------------------------------------- folders
def _name(recipe: Recipe) -> str:
    return recipe.run.name or (Path(recipe.origin).stem if recipe.origin != "recipe" else "run")


def _identity(recipe: Recipe) -> str:
    """What must be equal for a run to be continued."""
    return digest_of(json.loads(json.dumps(recipe.model_dump(mode="json"))))


def new_folder(parent: Path, name: str) -> Path:
    """Make the folder of a new run: its name with the time, and a number where that is taken."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = next(p for k in range(1000) if not (p := parent / f"{name}-{stamp}{f'-{k}' if k else ''}").exists())
    with storing(folder):
        make_folder(folder / ".state")
    return folder


def _folder(recipe: Recipe, output: str | Path | None, resume: bool) -> Path:
    """A new run folder, or the newest unfinished one of the same recipe."""
    parent = Path(output or recipe.run.output or "runs")
    name = _name(recipe)
    if not resume:
        folder = new_folder(parent, name)
        with storing(folder):
            write_atomic(folder / ".state" / "identity", _identity(recipe))
        return folder
    found, same = _runs_there(recipe, parent), runs_of(recipe, parent)
    unfinished = [p for p in same if _status(p) != "complete"]
    if unfinished:
        return unfinished[-1]
    if same:
        raise RunNotFound(f"the newest run of {name!r} is complete, there is nothing to resume", known=str(same[-1]))
    changed = f"{len(found)} unfinished or finished runs there belong to another version of the recipe" if found else ""
    raise RunNotFound(
        f"no run of {name!r} to resume in {str(parent)!r}", known=changed, do="start a new run without --resume"
    )


def _runs_there(recipe: Recipe, parent: Path) -> list[Path]:
    found = parent.glob(f"{_name(recipe)}-*/.state/identity")
    return sorted((p.parent.parent for p in found), key=lambda folder: folder.name)


def runs_of(recipe: Recipe, parent: Path) -> list[Path]:
    """The folders of this recipe's runs, the oldest first; those of another version of it are left out."""
    identity = _identity(recipe)
    return [p for p in _runs_there(recipe, parent) if (p / ".state" / "identity").read_text() == identity]


def _status(folder: Path) -> str:
    try:
        return str(raw_run(folder).get("status", "unreadable"))
    except EvenhandError:
        return "unreadable"

"""The life cycle of a run, top to bottom: prepare, measure, take each step, measure again, watch, explain, keep."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import continuity, devices, expectations, measuring, models, portable, proofs, traffic
from evenhand.assessment import assess
from evenhand.axis_results import demand_defined
from evenhand.cache import digest_of
from evenhand.compose import Composer
from evenhand.contamination import Contamination
from evenhand.contributions import Request
from evenhand.execution import RunResult
from evenhand.found_files import for_readers
from evenhand.kept_records import MEASURED, each_once
from evenhand.life import Life
from evenhand.life_training import look_on
from evenhand.manifest import Manifest, environment, provenance, sample_dict, section_dict, step_entry
from evenhand.measured import Measured
from evenhand.model_card import write_card
from evenhand.plan import Plan, stages_of
from evenhand.primary import declared
from evenhand.progress import progress
from evenhand.recipe import Recipe, ResolvedStep
from evenhand.report import write_report
from evenhand.row_account import ORIGIN
from evenhand.row_keeping import keep_refused
from evenhand.run_folders import STATE
from evenhand.sample import Table
from evenhand.services import Services

if TYPE_CHECKING:
    from datasets import Dataset

    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.plugin import Plugin
    from evenhand.resolution import ResolvedModel
    from evenhand.row_sources import RowSources

    Plugins = dict[tuple[str, str], Plugin]
    """By section and id of the step."""
    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]
    Records = dict[str, list[ItemRecord]]

SAMPLES = 6
"""Prompts whose answers before and after are shown side by side."""


def run(
    recipe: Recipe, work: Plan, resolved: ResolvedModel, folder: Path, manifest: Manifest, *,
    resume: bool, strict: bool, offline: bool,
) -> None:  # fmt: skip
    """Take a recipe through its life cycle; its folder has everything when this returns."""
    import datasets

    datasets.disable_progress_bars()  # ours are shown instead
    life, plugins, prompts = _prepared(
        recipe, work, resolved, folder, manifest, resume=resume, strict=strict, offline=offline
    )
    benchmarks = _benchmarks(life, work)
    texts = _compared_texts(life, work, plugins, benchmarks)
    before, mode = _measured_before(life, benchmarks)
    with manifest.timed("answers before"):
        first = life.services.generate(prompts[:SAMPLES], rules=()) if prompts else []
    manifest.write()
    for step in work.steps:
        life.reach(step, plugins.get((step.section, step.id)))
        manifest.write()
    look_on(life)
    after = before
    if not work.leaves_model:
        with manifest.timed("measuring after"):
            after, mode = _measured_after(life, benchmarks)
        after = texts.marked(after)
    manifest["contamination"] = texts.as_dict()
    assess(life, work, benchmarks, before, after, mode)
    manifest["expectations"] = expectations.judge(recipe.expect, manifest["benchmarks"])
    manifest.write()
    with manifest.timed("monitoring"):
        answers = traffic.serve(life, prompts) if prompts else []
    manifest["samples"] = [sample_dict(b, a) for b, a in zip(first, answers, strict=False)]
    _prove_monitors(life, bool(prompts))
    _explain(life, work)
    _keep(life, work)


# ------------------------------------------------------------------------------------------------------ prepare
def _prepared(
    recipe: Recipe, work: Plan, resolved: ResolvedModel, folder: Path, manifest: Manifest, *,
    resume: bool, strict: bool, offline: bool,
) -> tuple[Life, Plugins, list[Request]]:  # fmt: skip
    """The loaded model with all that belongs to its run, the plugins, and the prompts of its traffic."""
    import torch

    device = devices.chosen(recipe.model.device, where="model.device")
    devices.tell_slow_format(recipe.model.dtype, device, lambda text: manifest.event("model", text))
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
    data, sources = _load_data(recipe, work, manifest, offline, loaded.tokenizer)
    prompts = [] if work.only_looks else _prompts(recipe, loaded.info.kind)
    began_with = _begun(folder, manifest, work, prompts, resume=resume)
    plugins: Plugins = {(s.section, s.id): s.plugin(s.options) for s in (*work.steps, *work.benchmarks) if s.plugin}
    composer = Composer([(s, plugins[s.section, s.id]) for s in (*work.steps, *work.benchmarks) if s.plugin])
    services = Services(
        model=loaded.model, tokenizer=loaded.tokenizer, kind=loaded.info.kind, seed=recipe.run.seed,
        folder=folder / STATE, settings=recipe.training, load_base=lambda: models.load(resolved, **how).model,
        on_event=lambda text: manifest.event("services", text), keep=True,
    )  # fmt: skip
    life = Life(
        recipe=recipe, manifest=manifest, composer=composer, loaded=loaded, services=services, folder=folder,
        rows=data, sources=sources, resume=resume, strict=strict, offline=offline, began_with=digest_of(began_with),
    )  # fmt: skip
    life.step_order = list(work.steps)
    return life, plugins, prompts


def _begun(folder: Path, manifest: Manifest, work: Plan, prompts: list[Request], *, resume: bool) -> dict[str, str]:
    """What the run begins with: kept by a new run, and compared with what an interrupted one began with."""
    facts = continuity.facts_of(
        manifest, [*work.steps, *work.benchmarks], [r.prompt for r in prompts], text=manifest["data"].get("digest", "")
    )
    if resume:
        for text in continuity.demand_same(folder / STATE, facts):
            manifest.event("resume", text)
    else:
        continuity.begin(folder / STATE, facts)
    return facts


def _load_data(
    recipe: Recipe, work: Plan, manifest: Manifest, offline: bool, tokenizer: Any
) -> tuple[Dataset | None, RowSources | None]:
    """The training text, if anything reads it, and where its rows stand."""
    if not work.reads_text:
        return None, None
    from evenhand.data import load_data

    with manifest.timed("loading the data"):
        found = load_data(
            recipe.data, offline=offline, folders=recipe.folders, mirrors=recipe.evaluation.data, tokenizer=tokenizer
        )
    manifest["data"] = {
        "source": found.source,
        "rows": len(found.rows),
        "rows_after": len(found.rows),
        "digest": found.digest,
        "licence": found.licence,
        "quarantined": dict(Counter(row.reason for row in found.refused)),
        "quarantine": keep_refused(manifest.folder, found.refused),
    }
    return found.rows, None if ORIGIN in found.rows.column_names else found.sources


def _prompts(recipe: Recipe, kind: str) -> list[Request]:
    if kind != "causal" or recipe.traffic.limit == 0:
        return []
    from evenhand.data import read_texts

    texts = read_texts(recipe.traffic.prompts, folders=recipe.folders, what="prompts")
    return [Request(prompt=t, max_new_tokens=recipe.traffic.max_new_tokens) for t in texts[: recipe.traffic.limit]]


# ------------------------------------------------------------------------------------------------------ measure
def _benchmarks(life: Life, work: Plan) -> Benchmarks:
    """The benchmarks by id; the record says which one the headline rests on."""
    asked = measuring.benchmarks_of(life.composer, work.benchmarks, life.context)
    benchmarks, life.manifest["primary"] = declared(asked, life.recipe.evaluation.primary, origin=life.recipe.origin)
    expectations.demand_metrics(life.recipe, {name: benchmark for name, (_, benchmark) in benchmarks.items()})
    return benchmarks


def _compared_texts(life: Life, work: Plan, plugins: Plugins, benchmarks: Benchmarks) -> Contamination:
    """What compares the texts of the benchmarks with what the steps are told and trained on."""
    manifest = life.manifest
    with manifest.timed("comparing texts"):
        used = [(s, plugins[s.section, s.id]) for s in work.steps if s.plugin]
        given = {name: benchmark for name, (_, benchmark) in benchmarks.items()}
        life.contamination = texts = Contamination(
            given, used, life.recipe.evaluation.contamination,
            keep=lambda facts: manifest.data.update(contamination=facts),
        )  # fmt: skip
        texts.demand_early(work, life.rows)
        life.services.on_train = texts.training
    return texts


def _measured_before(life: Life, benchmarks: Benchmarks) -> tuple[Records, str]:
    """The records of the untouched model, by benchmark id, and how scores came about."""
    manifest = life.manifest
    reused: list[str] = []
    with manifest.timed("measuring before"):
        before, mode = measuring.baseline(
            benchmarks, life.loaded, life.recipe, on_event=_on_measuring(life), on_reuse=reused.append
        )
        manifest["baseline"] = {"measured": [name for name in benchmarks if name not in reused], "reused": reused}
    assert life.contamination is not None
    before = life.contamination.marked(before)
    for name, (_, benchmark) in benchmarks.items():
        demand_defined(benchmark, Table.of(before[name]))
    return before, mode


def _measured_after(life: Life, benchmarks: Benchmarks) -> tuple[Records, str]:
    """The records of the result, by benchmark id, and how scores came about."""
    recipe, loaded = life.recipe, life.loaded
    rules = [rule for _, rule in life.rules]
    on_event = _on_measuring(life)
    found = each_once(
        life, "after", benchmarks,
        lambda one: measuring.measure(one, loaded, rules, recipe, when="after", on_event=on_event)[0],
    )  # fmt: skip
    mode = Measured(loaded.model, loaded.tokenizer, loaded.info.kind, rules, recipe.model.dtype, seed=recipe.run.seed)
    return found, mode.mode


def _on_measuring(life: Life) -> Callable[[str], None]:
    return lambda text: life.manifest.event("measuring", text)


# ----------------------------------------------------------------------------------------------- watch, explain
def _prove_monitors(life: Life, served: bool) -> None:
    if not served:
        if life.monitors:
            life.manifest.event("monitoring", "no requests were served, so the monitors saw nothing")
        return
    seen = life.manifest["monitoring"]["requests"]
    for place, (step, _) in enumerate(life.monitors):
        # A fault of a monitor is isolated: that it took no effect is recorded and fails no run.
        missed = life.missed[place]
        what = f"{seen} responses seen" + (f", and {'all' if missed == seen else missed} failed on" if missed else "")
        life.record_proofs(step, [proofs.Proof("monitoring", seen > missed, what, float(seen - missed))])


def _explain(life: Life, work: Plan) -> None:
    """The sections of the report that steps write about themselves; one that fails leaves a gap, unless strict."""
    result = RunResult(life.folder, life.manifest.data)
    with life.manifest.timed("explaining"):
        for step in work.steps:
            if step.active and "transparency" in stages_of(step):
                with life.manifest.timed(f"step {step.id}"), progress(f"Explaining: step {step.id}"):
                    _explain_step(life, step, result)


def _explain_step(life: Life, step: ResolvedStep, result: RunResult) -> None:
    try:
        arguments = {"run": life.context(step), "model": life.loaded.model, "result": result}
        sections = life.composer.call("transparency", step, **arguments)
        found = [section_dict(step.id, s, for_readers(life.folder, step, s.files, "transparency")) for s in sections]
    except Exception as error:
        if life.strict:
            raise
        life.manifest.fault(step, "transparency", str(error))
        return
    life.manifest["sections"] += found


# --------------------------------------------------------------------------------------------------------- keep
def _keep(life: Life, work: Plan) -> None:
    """Save the model, prove that it loads again as it was measured, and write card and report.

    Of a run whose steps only look there is no new model, and so no card of one.
    """
    manifest = life.manifest
    states = {} if work.only_looks else _saved(life)
    for entry in manifest["steps"]:
        entry["state"] = states.get(entry["id"], entry["state"])
        entry["seconds"] = manifest["timings"].get(f"step {entry['id']}", 0.0)
    for scratch in ("training", "services", "controls", "seeds", MEASURED):
        shutil.rmtree(life.folder / STATE / scratch, ignore_errors=True)  # a complete run is not resumed
    for own in (life.folder / STATE / "steps").glob("*/scratch"):
        shutil.rmtree(own, ignore_errors=True)
    manifest.finish("complete")
    if not work.only_looks:
        write_card(life.folder)
    write_report(life.folder)


def _saved(life: Life) -> dict[str, str]:
    """Write the model and load it again; gives the state of each step that changed it."""
    loaded, manifest = life.loaded, life.manifest
    with manifest.timed("saving the model"), progress("Saving the model, and loading it again"):
        measured = proofs.probe_logits(loaded.model, loaded.tokenizer)
        spoken = _spoken(life)
        states = portable.save_model(life, portable.fold_all(life))
        manifest["portability"] = portable.prove_reload(life, measured, spoken)
    return states


def _spoken(life: Life) -> dict[str, str]:
    """What the model answers under its decoding rules, which the saved one must repeat."""
    if not life.rules:
        return {}  # equal logits are proof enough
    loaded = life.loaded
    return portable.answers_to_probes(
        loaded.model, loaded.tokenizer, loaded.info.kind, [rule for _, rule in life.rules]
    )

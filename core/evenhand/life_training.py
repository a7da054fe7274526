"""The training of a run: what is pending becomes one training, and each part of it is proved to have taken effect."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evenhand import proofs
from evenhand.compose import fold_data
from evenhand.contributions import Aggregator, Criterion, DataTransform, LossTerm, TrainingStart
from evenhand.kept_steps import read_training, write_training
from evenhand.models import note_moved
from evenhand.progress import progress
from evenhand.retention_text import held_rows, retention_text
from evenhand.row_keeping import keep, settled
from evenhand.run_folders import STATE
from evenhand.training import restore_terms, train
from evenhand.training_result import TrainingResult
from evenhand.training_terms import LANGUAGE_MODELLING, seen_by

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from evenhand.folding import Placed
    from evenhand.life import Life
    from evenhand.recipe import ResolvedStep
    from evenhand.row_sources import RowSources

LOGS = "training"
"""Folder inside the run folder with a log of each training."""


def train_step(life: Life, step: ResolvedStep) -> None:
    """Compose what is pending into one training, prove each part, and clear the table for the next."""
    model, tokenizer = life.loaded.model, life.loaded.tokenizer
    _demand_several(life, step)
    rows, retention = _texts(life, step)
    rows = _changed_rows(life, rows)
    if life.contamination is not None:
        life.contamination.training(rows, step.id)
    _begin(life, step, rows)
    selected = _selected(life)
    with progress("Taking digests of the weights"):
        before = proofs.tensor_digests(model)
    finishing = any(p.transform.finish for p in life.pending_models)
    outputs = proofs.probe_logits(model, tokenizer) if finishing else None
    result = _trained(life, step, rows, selected, retention)
    with progress("Comparing the weights with those before"):
        after = proofs.tensor_digests(model)
    note_moved(model, [name for name, digest in after.items() if digest != before[name]])
    idle = result.watch is not None and result.watch["kept"] == 0  # no moment kept the budget: nothing moved
    demand = life.record_proofs if idle else life.prove
    for placed in life.pending_models:
        if placed.transform.trainable:
            demand(placed.step, [_selection_proof(life, placed, selected or set(), before, after)])
        if placed.transform.finish:
            _finish(life, placed, selected or set(), outputs, demand)
    _prove_terms(life, step, result)
    life.manifest["training"].append({"id": step.id, **result.as_dict()})
    for text in result.events:
        _tell(life)(text)
    life.pending_data, life.pending_terms, life.pending_models = [], [], []


def look_on(life: Life) -> None:
    """Let the steps read the text that look on and that no training follows."""
    if life.pending_data and life.rows is not None:
        with life.manifest.timed("looking at the training text"):
            _changed_rows(life, life.rows)
        life.pending_data = []


def _tell(life: Life) -> Callable[[str], None]:
    return lambda text: life.manifest.event("training", text)


# ---------------------------------------------------------------------------------------------------------- text
def _texts(life: Life, step: ResolvedStep) -> tuple[Dataset, Dataset | None]:
    """The text to train on before the data steps, and the one, if any, that language quality is held on."""
    if life.rows is None:
        raise RuntimeError("a training was planned but no data was loaded")
    if life.recipe.holds_budget(step.options):  # type: ignore[arg-type]
        return _held_out(life, life.rows)
    if "perplexity" in life.recipe.budget.model_fields_set and step.options.constraint == "auto":  # type: ignore[union-attr]
        _tell(life)("the budget is checked after the run; with data.retention it would hold while training, too")
    return life.rows, None


def _held_out(life: Life, rows: Dataset) -> tuple[Dataset, Dataset]:
    """The training text, and the text that language quality is held on."""
    from evenhand.data import load_data

    name, given = life.recipe.data.retention, None
    if name is not None:
        section = life.recipe.data.model_copy(update={"train": name, "limit": None})
        given = load_data(
            section, offline=life.offline, folders=life.recipe.folders, mirrors=life.recipe.evaluation.data,
            tokenizer=life.loaded.tokenizer,
        ).rows  # fmt: skip
    kept, retention = retention_text(rows, given)
    told = f"{len(retention)} of {len(rows)} rows are held out of the training"
    if name is not None:
        told = f"{len(retention)} rows of {name} serve"
    life.manifest.event("training", f"{told} as retention text")
    return kept, retention


def _changed_rows(life: Life, rows: Dataset) -> Dataset:
    """The text after the data steps, each of them proved."""
    sources = life.sources
    if sources is not None and life.rows is not None and len(rows) < len(life.rows):
        sources = sources.without(held_rows(len(life.rows)))
    for owner, transform in life.pending_data:
        changed = fold_data(rows, [(owner, transform)])
        account = _record_rows(life, owner, transform, rows, changed, sources)
        touched = account["changed"] + account["added"]
        read = transform.looks_on
        proof = proofs.reading_proof(rows, transform.facts) if read else proofs.data_proof(rows, changed, touched)
        if not proof.took and transform.idle is not None and (why := transform.idle()):
            proof = replace(proof, what=f"{proof.what}, because {why}")
        life.prove(owner, [proof])
        rows = changed
    life.manifest["data"]["rows_after"] = len(rows)
    return rows


def _record_rows(
    life: Life, owner: ResolvedStep, transform: DataTransform, before: Dataset, after: Dataset,
    sources: RowSources | None,
) -> dict[str, Any]:  # fmt: skip
    """Keep the account of a step's rows in the record of the run; gives it."""
    entry = next(e for e in life.manifest["steps"] if e["id"] == owner.id)
    told = entry.setdefault("rows", [])
    account = settled(owner, transform, before, after)
    told.append(keep(life.folder, owner, account, transform, earlier=len(told), sources=sources))
    return told[-1]  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------------------------- the training
def _begin(life: Life, step: ResolvedStep, rows: Dataset) -> None:
    """Show the text and the settings to the transforms that want to see them before they select."""
    for placed in life.pending_models:
        if placed.transform.on_start:
            with life.manifest.timed(f"step {placed.step.id}"):
                placed.transform.on_start(
                    TrainingStart(
                        model=life.loaded.model,
                        rows=rows,
                        tell=_tell(life),
                        settings=step.options,  # type: ignore[arg-type]
                    )
                )


def _selected(life: Life) -> set[str] | None:
    """The names of the parameters that may move; None where no transform selects."""
    model = life.loaded.model
    chosen_by = [(p.step.id, set(p.transform.trainable(model))) for p in life.pending_models if p.transform.trainable]
    for text in shared_selections(chosen_by):
        _tell(life)(text)
    return {name for _, chosen in chosen_by for name in chosen} if chosen_by else None


def shared_selections(chosen_by: Sequence[tuple[str, set[str]]]) -> list[str]:
    """One sentence for each two steps that select the same parameters: neither has them to itself."""
    told = []
    for place, (one, first) in enumerate(chosen_by):
        for other, second in chosen_by[place + 1 :]:
            if shared := sorted(first & second):
                more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
                told.append(
                    f"{one} and {other} both select {shared[0]}{more}; what both select is trained once, for both"
                )
    return told


def _trained(
    life: Life, step: ResolvedStep, rows: Dataset, selected: set[str] | None, retention: Dataset | None
) -> TrainingResult:
    folder = life.folder / STATE / "training" / step.id
    model = life.loaded.model
    finished = read_training(folder, model) if life.resume else None
    if finished is not None:
        terms = [term for _, term in life.pending_terms]
        restore_terms(terms, step.options.language_modelling, folder / "final")  # type: ignore[union-attr]
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    result = train(
        model,
        life.loaded.tokenizer,
        rows,
        [term for _, term in life.pending_terms],
        kind=life.loaded.info.kind,
        settings=step.options,  # type: ignore[arg-type]
        folder=folder,
        seed=life.recipe.run.seed,
        trainable=selected,
        transforms=[p.transform for p in life.pending_models],
        reference=life.services.reference,
        retention=retention,
        budget=life.recipe.budget.perplexity,
        idle={term.name for owner, term in life.pending_terms if owner.allow_no_effect},
        resume=life.resume,
        log=life.folder / LOGS / f"{step.id}.jsonl",
        title=f"Training {life.aside}".rstrip() + (f" ({step.id})" if step.id != "train" else ""),
        on_event=_tell(life),
    )
    gc.collect()  # a trainer refers to itself in circles, and would keep its optimiser and the reference model
    with progress("Keeping what the training moved"):
        write_training(folder, model, result, selected)
    return result


# ------------------------------------------------------------------------------------------------------- the proofs
def _selection_proof(
    life: Life, placed: Placed, selected: set[str], before: dict[str, str], after: dict[str, str]
) -> proofs.Proof:
    """That of all parameters those moved which the transform selects; what others select is not its matter."""
    transform = placed.transform
    assert transform.trainable is not None
    chosen = list(transform.trainable(life.loaded.model))
    others = selected - set(chosen)
    proof = proofs.selection_proof(_without(before, others), _without(after, others), chosen)
    return replace(proof, what=f"{proof.what}; {transform.selection()}") if transform.selection else proof


def _finish(
    life: Life, placed: Placed, selected: set[str], outputs: torch.Tensor | None,
    demand: Callable[[ResolvedStep, Sequence[proofs.Proof]], None],
) -> None:  # fmt: skip
    """Let a transform finish; where what moved has left the model, the outputs must tell of it."""
    model = life.loaded.model
    assert placed.transform.finish is not None
    placed.artifact = placed.transform.finish(model) or placed.artifact
    life.handles[placed.step.id].artifact = placed.artifact
    gone = selected - {name for name, _ in model.named_parameters()}
    if gone and outputs is not None:
        now = proofs.probe_logits(model, life.loaded.tokenizer)
        demand(placed.step, [proofs.output_proof(outputs, now)])


def _combined(life: Life, step: ResolvedStep, aggregator: Aggregator) -> list[str]:
    """The names of the loss terms of a training that the aggregator sees."""
    own = [LANGUAGE_MODELLING] if step.options.language_modelling else []  # type: ignore[union-attr]
    return own + seen_by(aggregator, [term for _, term in life.pending_terms])


def _demand_several(life: Life, step: ResolvedStep) -> None:
    """An aggregator with a single term has nothing to combine: told before the training."""
    for owner, term in life.pending_terms:
        terms = _combined(life, step, term) if isinstance(term, Aggregator) else []
        if isinstance(term, Aggregator) and len(terms) < 2 and (proof := proofs.aggregator_proof(term, terms)):
            life.prove(owner, [proof])


def _prove_terms(life: Life, step: ResolvedStep, result: TrainingResult) -> None:
    for owner, term in life.pending_terms:
        terms = _combined(life, step, term) if isinstance(term, Aggregator) else []
        if isinstance(term, Aggregator) and len(terms) > 1 and (told := proofs.aggregator_proof(term, terms)):
            demand = life.record_proofs if proofs.not_called_for(term) else life.prove
            demand(owner, [told])
        if isinstance(term, Criterion) and result.watch is not None:
            life.prove(owner, [proofs.criterion_proof(term.name, result.watch, result.steps)])
        if isinstance(term, LossTerm) and (term.weight != 0):
            proof = proofs.objective_proof(term.name, result.terms[term.name])
            if term.anchor and not proof.took:
                continue  # an anchor may stay at zero: then nothing pulled away from it
            life.prove(owner, [proof])


def _without(digests: dict[str, str], names: set[str]) -> dict[str, str]:
    return {k: v for k, v in digests.items() if k not in names}

"""The state of a run between its steps: the model as it is now, what is pending, and what is in place."""

from __future__ import annotations

import gc
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import proofs
from evenhand.compose import Composer, fold_data
from evenhand.context import RunContext, StepHandle, axes_of
from evenhand.contributions import (
    Aggregator,
    Artifact,
    Criterion,
    DataTransform,
    DecodingRule,
    LossTerm,
    ModelTransform,
    TrainingStart,
)
from evenhand.errors import WrongModelKind
from evenhand.kept_steps import read_artifact, read_training, write_artifact, write_training
from evenhand.models import note_moved
from evenhand.plan import stages_of
from evenhand.progress import progress
from evenhand.recipe_inputs import heldout_of
from evenhand.row_keeping import keep, settled
from evenhand.services import Services
from evenhand.training import TrainingResult, restore_terms, train
from evenhand.training_terms import LANGUAGE_MODELLING
from evenhand.training_watch import retention_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset

    from evenhand.contamination import Contamination
    from evenhand.manifest import Manifest
    from evenhand.models import LoadedModel
    from evenhand.recipe import Recipe, ResolvedStep

STATE = ".state"
"""Folder inside the run folder for what a resume needs."""
LOGS = "training"
"""Folder inside the run folder with a log of each training."""


@dataclass(kw_only=True)
class Placed:
    """A model transform that acts on the model now."""

    step: ResolvedStep
    transform: ModelTransform
    artifact: Artifact
    index: int
    """Which of the step's transforms it is."""
    effect: float = 0.0
    """The largest change of a logit on probes that it made when it came; 0 for one that a training makes."""


@dataclass(kw_only=True)
class Life:
    """One run while it happens; `reach` is called for each step in the order of the recipe."""

    recipe: Recipe
    manifest: Manifest
    composer: Composer
    loaded: LoadedModel
    services: Services
    folder: Path
    rows: Dataset | None
    resume: bool
    strict: bool = False
    offline: bool
    contamination: Contamination | None = None
    aside: str = ""
    """What this is beside the run itself, such as a control; empty for the run."""
    began_with: str = ""
    """A digest of what the run began with: model, texts, versions and code."""
    handles: dict[str, StepHandle] = field(default_factory=dict)
    pending_data: list[tuple[ResolvedStep, Any]] = field(default_factory=list)
    pending_terms: list[tuple[ResolvedStep, LossTerm | Aggregator | Criterion]] = field(default_factory=list)
    pending_models: list[Placed] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    rules: list[tuple[ResolvedStep, DecodingRule]] = field(default_factory=list)
    monitors: list[tuple[ResolvedStep, Any]] = field(default_factory=list)
    step_order: list[ResolvedStep] = field(default_factory=list)

    # --------------------------------------------------------------------------------------------- facts
    def context(self, step: ResolvedStep) -> RunContext:
        """What the plugin of this step may know."""
        own = self.folder / STATE / "steps" / step.id
        own.mkdir(parents=True, exist_ok=True)
        return RunContext(
            step_id=step.id,
            seed=self.recipe.run.seed,
            kind=self.loaded.info.kind,
            tokenizer=self.loaded.tokenizer,
            device=str(self.loaded.model.device),
            folder=own,
            axes=axes_of([h.plugin.options for h in self.handles.values()]),
            offline=self.offline,
            logger=logging.getLogger(f"evenhand.{step.id}"),
            services=self.services,
            data_folder=self.recipe.evaluation.data,
            heldout=heldout_of(self.recipe),
            steps={name: h for name, h in self.handles.items() if name != step.id},
        )

    # --------------------------------------------------------------------------------------------- steps
    def reach(self, step: ResolvedStep, plugin: Any) -> None:
        """Call the step's hooks and put its contributions where they belong; a training trains."""
        with self.manifest.timed(f"step {step.id}"):
            if step.plugin is None:
                if step.active:
                    self.train(step)
                return
            handle = StepHandle(id=step.id, plugin=plugin, active=step.active)
            handle.folder = self.folder / STATE / "steps" / step.id
            self.handles[step.id] = handle
            run = self.context(step)
            model = self.loaded.model
            arguments: dict[str, dict[str, Any]] = {
                "data": {"run": run, "split": "train", "model": model},
                "objective": {"run": run, "model": model},
                "architecture": {"run": run, "model": model},
                "decoding": {"run": run, "model": model},
                "monitoring": {"run": run},
            }
            # A hook, a fit and the proofs take seconds on a large model, and no plugin need show that by itself.
            with progress(f"Step {step.id}" + (f" ({self.aside})" if self.aside else "")):
                for stage in stages_of(step):
                    if stage in arguments and (step.active or stage in ("decoding", "architecture")):
                        self._seed(run.seed_for(stage))
                        found = self._call(stage, step, arguments[stage])
                        handle.contributions[stage] = found
                        if step.active:
                            self._place(stage, step, found)

    def _call(self, stage: str, step: ResolvedStep, arguments: dict[str, Any]) -> list[Any]:
        if stage != "monitoring":
            return self.composer.call(stage, step, **arguments)
        try:
            return self.composer.call(stage, step, **arguments)
        except Exception as error:
            if self.strict:
                raise
            self.manifest.fault(step, stage, str(error))
            return []

    def _seed(self, seed: int) -> None:
        """Hooks may make parameters: the same ones in every run of this recipe, and in a resumed one."""
        import random

        import numpy as np
        import torch

        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)

    def _place(self, stage: str, step: ResolvedStep, found: list[Any]) -> None:
        if stage == "data":
            self.pending_data += [(step, c) for c in found]
        elif stage == "objective":
            self.pending_terms += [(step, self._unique(step, c)) for c in found]
        elif stage == "architecture":
            for index, transform in enumerate(found):
                self._apply(step, transform, index)
        elif stage == "decoding":
            self._demand_rules_for_masks(step, found)
            self.rules += [(step, c) for c in found]
            self.services.rules = [rule for _, rule in self.rules]
            if found:
                self._prove(step, [proofs.decoding_proof(self.loaded.model, self.loaded.tokenizer, found)])
        elif stage == "monitoring":
            self.monitors += [(step, c) for c in found]

    def _unique(self, step: ResolvedStep, term: LossTerm | Aggregator | Criterion) -> LossTerm | Aggregator | Criterion:
        """Terms are kept by name: one whose name is taken in this training carries its step's id."""
        taken = {t.name for _, t in self.pending_terms} | {LANGUAGE_MODELLING}
        if term.name not in taken:
            return term
        names = (f"{term.name} ({step.id}{suffix})" for suffix in ("", *(f" {k}" for k in range(2, 99))))
        return replace(term, name=next(n for n in names if n not in taken))

    def _demand_rules_for_masks(self, step: ResolvedStep, rules: Sequence[DecodingRule]) -> None:
        """Raises WrongModelKind for a rule that a masked model has no use for."""
        useless = [rule.name for rule in rules if rule.mask_logits is None]
        if self.loaded.info.kind == "masked" and useless:
            raise WrongModelKind(
                "this model fills gaps, it does not continue text",
                where=f"step {step.id!r} ({step.use})",
                known=f"the rule {useless[0]!r} is for text that is being written",
                do="use a causal model, or leave out the step",
            )

    def _apply(self, step: ResolvedStep, transform: ModelTransform, index: int) -> None:
        """Fit (or read what an interrupted run had fitted) and apply one transform; prove it if none trains it."""
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        # A step that acts in the training alone, such as dropout, is seen while the model trains, not while it is used.
        shaping = transform.trainable is None and transform.finish is not None
        look = proofs.training_logits if shaping else proofs.probe_logits
        before = look(model, tokenizer)
        store = self.folder / STATE / "steps" / step.id / f"fitted-{index}"
        artifact = read_artifact(store) if self.resume else None
        if artifact is None:
            kept = self.services.kept()
            artifact = (transform.fit(model) if transform.fit else None) or Artifact()
            if artifact.tensors or artifact.meta:
                write_artifact(store, artifact)
                self.services.forget_since(kept)
        if transform.apply:
            transform.apply(model, artifact)
        placed = Placed(step=step, transform=transform, artifact=artifact, index=index)
        self.placed.append(placed)
        self.handles[step.id].artifact = artifact
        if transform.trainable or shaping:
            self._demand_training_after(step)
            self.pending_models.append(placed)
        if not transform.trainable:
            proof = proofs.output_proof(before, look(model, tokenizer))
            placed.effect = 0.0 if shaping else proof.size
            self._prove(step, [replace(proof, what=f"{proof.what}, while it trains") if shaping else proof])
        if transform.on_step and placed not in self.pending_models:
            self.pending_models.append(placed)

    def _prove(self, step: ResolvedStep, found: Sequence[proofs.Proof]) -> None:
        self.record_proofs(step, found)
        proofs.demand(step, found)

    def record_proofs(self, step: ResolvedStep, found: Sequence[proofs.Proof]) -> None:
        """Add what was shown about a step to the record of the run."""
        entry = next(e for e in self.manifest["steps"] if e["id"] == step.id)
        entry["proofs"] += [p.as_dict() for p in found]

    def _demand_training_after(self, step: ResolvedStep) -> None:
        """A step that shapes a training, and that no training follows, changes nothing: told before more is done.

        The plan sees to it for plugins that say `shapes_training`; this finds those that do not.
        """
        place = next((k for k, s in enumerate(self.step_order) if s.id == step.id), -1)
        if not any(s.plugin is None and s.active for s in self.step_order[place + 1 :]):
            what = "it shapes a training, but no training follows it"
            self._prove(step, [proofs.Proof("architecture", False, what, 0.0)])

    # ------------------------------------------------------------------------------------------ training
    def train(self, step: ResolvedStep) -> None:
        """Compose what is pending into one training, prove each part, and clear the table for the next."""
        if self.rows is None:
            raise RuntimeError("a training was planned but no data was loaded")
        rows, retention = self.rows, None
        if self.recipe.holds_budget(step.options):  # type: ignore[arg-type]
            rows, retention = self._retention(rows)
        elif "perplexity" in self.recipe.budget.model_fields_set and step.options.constraint == "auto":  # type: ignore[union-attr]
            self._told("the budget is checked after the run; with data.retention it would hold while training, too")
        for owner, transform in self.pending_data:
            changed = fold_data(rows, [(owner, transform)])
            self._record_rows(owner, transform, rows, changed)
            proof = proofs.reading_proof(rows) if transform.looks_on else proofs.data_proof(rows, changed)
            self._prove(owner, [proof])
            rows = changed
        self.manifest["data"]["rows_after"] = len(rows)
        if self.contamination is not None:
            self.contamination.training(rows, step.id)
        for placed in self.pending_models:
            if placed.transform.on_start:
                with self.manifest.timed(f"step {placed.step.id}"):
                    begun = TrainingStart(
                        model=self.loaded.model,
                        rows=rows,
                        tell=self._told,
                        settings=step.options,  # type: ignore[arg-type]
                    )
                    placed.transform.on_start(begun)
        selections = [p for p in self.pending_models if p.transform.trainable]
        model = self.loaded.model
        chosen_by = [(p.step.id, set(p.transform.trainable(model))) for p in selections if p.transform.trainable]
        names = {name for _, chosen in chosen_by for name in chosen}
        for text in shared_selections(chosen_by):
            self._told(text)
        with progress("Taking digests of the weights"):
            before = proofs.tensor_digests(model)
        finishing = any(p.transform.finish for p in self.pending_models)
        outputs = proofs.probe_logits(model, self.loaded.tokenizer) if finishing else None
        result = self._run_training(step, rows, names if selections else None, retention)
        with progress("Comparing the weights with those before"):
            after = proofs.tensor_digests(model)
        note_moved(model, [name for name, digest in after.items() if digest != before[name]])
        for placed in self.pending_models:
            idle = result.watch is not None and result.watch["kept"] == 0  # no moment kept the budget: nothing moved
            demand = self.record_proofs if idle else self._prove
            if placed.transform.trainable:
                chosen = list(placed.transform.trainable(model))
                others = [n for n in names if n not in set(chosen)]
                proof = proofs.selection_proof(_without(before, others), _without(after, others), chosen)
                if placed.transform.selection:
                    proof = replace(proof, what=f"{proof.what}; {placed.transform.selection()}")
                demand(placed.step, [proof])
            if placed.transform.finish:
                placed.artifact = placed.transform.finish(model) or placed.artifact
                self.handles[placed.step.id].artifact = placed.artifact
                gone = names - {name for name, _ in model.named_parameters()}
                if gone and outputs is not None:  # what moved has left the model: the outputs must tell of it
                    now = proofs.probe_logits(model, self.loaded.tokenizer)
                    demand(placed.step, [proofs.output_proof(outputs, now)])
        self._prove_terms(result)
        self.manifest["training"].append({"id": step.id, **result.as_dict()})
        for text in result.events:
            self._told(text)
        self.pending_data, self.pending_terms, self.pending_models = [], [], []

    def _told(self, text: str) -> None:
        self.manifest.event("training", text)

    def _retention(self, rows: Dataset) -> tuple[Dataset, Dataset]:
        """The training text and the text that language quality is held on."""
        from evenhand.data import load_data

        name, given = self.recipe.data.retention, None
        if name is not None:
            section = self.recipe.data.model_copy(update={"train": name, "limit": None})
            mirrors = self.recipe.evaluation.data
            given = load_data(section, offline=self.offline, folders=self.recipe.folders, mirrors=mirrors).rows
        kept, retention = retention_text(rows, given)
        told = f"{len(retention)} of {len(rows)} rows are held out of the training"
        if name is not None:
            told = f"{len(retention)} rows of {name} serve"
        self.manifest.event("training", f"{told} as retention text")
        return kept, retention

    def _record_rows(self, owner: ResolvedStep, transform: DataTransform, before: Dataset, after: Dataset) -> None:
        entry = next(e for e in self.manifest["steps"] if e["id"] == owner.id)
        told = entry.setdefault("rows", [])
        told.append(keep(self.folder, owner, settled(owner, transform, before, after), transform, earlier=len(told)))

    def _run_training(
        self, step: ResolvedStep, rows: Dataset, names: set[str] | None, retention: Dataset | None
    ) -> TrainingResult:
        folder = self.folder / STATE / "training" / step.id
        model = self.loaded.model
        finished = read_training(folder, model) if self.resume else None
        if finished is not None:
            terms = [term for _, term in self.pending_terms]
            restore_terms(terms, step.options.language_modelling, folder / "final")  # type: ignore[union-attr]
            return finished
        folder.mkdir(parents=True, exist_ok=True)
        result = train(
            model,
            self.loaded.tokenizer,
            rows,
            [term for _, term in self.pending_terms],
            kind=self.loaded.info.kind,
            settings=step.options,  # type: ignore[arg-type]
            folder=folder,
            seed=self.recipe.run.seed,
            trainable=names,
            transforms=[p.transform for p in self.pending_models],
            reference=self.services.reference,
            retention=retention,
            budget=self.recipe.budget.perplexity,
            idle={term.name for owner, term in self.pending_terms if owner.allow_no_effect},
            resume=self.resume,
            log=self.folder / LOGS / f"{step.id}.jsonl",
            title=f"Training {self.aside}".rstrip() + (f" ({step.id})" if step.id != "train" else ""),
            on_event=self._told,
        )
        gc.collect()  # a trainer refers to itself in circles, and would keep its optimiser and the reference model
        with progress("Keeping what the training moved"):
            write_training(folder, model, result, names)
        return result

    def _prove_terms(self, result: TrainingResult) -> None:
        for owner, term in self.pending_terms:
            if isinstance(term, LossTerm) and (term.weight != 0):
                proof = proofs.objective_proof(term.name, result.terms[term.name])
                if term.anchor and not proof.took:
                    continue  # an anchor may stay at zero: then nothing pulled away from it
                self._prove(owner, [proof])


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


def _without(digests: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    left_out = set(names)
    return {k: v for k, v in digests.items() if k not in left_out}

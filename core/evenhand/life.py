"""The state of a run between its steps: the model as it is now, what is pending, and what is in place."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import proofs
from evenhand.compose import Composer
from evenhand.context import RunContext, StepHandle, axes_of
from evenhand.contributions import (
    Aggregator,
    Artifact,
    Criterion,
    DecodingRule,
    LossTerm,
    ModelTransform,
)
from evenhand.errors import WrongModelKind
from evenhand.folding import Placed
from evenhand.kept_steps import read_artifact, write_artifact
from evenhand.life_training import train_step
from evenhand.plan import stages_of
from evenhand.progress import progress
from evenhand.recipe_inputs import heldout_of
from evenhand.run_folders import STATE
from evenhand.services import Services
from evenhand.training_terms import LANGUAGE_MODELLING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset

    from evenhand.contamination import Contamination
    from evenhand.manifest import Manifest
    from evenhand.models import LoadedModel
    from evenhand.recipe import Recipe, ResolvedStep
    from evenhand.row_sources import RowSources


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
    sources: RowSources | None = None
    """Where each of the rows stands in the user's data; None where rows bring origins of their own."""
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
    missed: Counter[int] = field(default_factory=Counter)
    """Place of a monitor among these -> the responses that it failed on."""
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
            budget=self.recipe.budget.perplexity,
            steps={name: h for name, h in self.handles.items() if name != step.id},
        )

    # --------------------------------------------------------------------------------------------- steps
    def reach(self, step: ResolvedStep, plugin: Any) -> None:
        """Call the step's hooks and put its contributions where they belong; a training trains."""
        with self.manifest.timed(f"step {step.id}"):
            if step.plugin is None:
                if step.active:
                    train_step(self, step)
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
            looks_on = step.plugin is not None and step.plugin.looks_on
            self.pending_data += [(step, replace(c, looks_on=True) if looks_on else c) for c in found]
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
                self.prove(step, [proofs.decoding_proof(self.loaded.model, self.loaded.tokenizer, found)])
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
            if not proof.took and (why := artifact.meta.get("idle")):
                proof = replace(proof, what=f"{proof.what}, because {why}")
            placed.effect = 0.0 if shaping else proof.size
            self.prove(step, [replace(proof, what=f"{proof.what}, while it trains") if shaping else proof])
        if transform.on_step and placed not in self.pending_models:
            self.pending_models.append(placed)

    def prove(self, step: ResolvedStep, found: Sequence[proofs.Proof]) -> None:
        """As `record_proofs`; raises NoEffect for a step that must have an effect and was shown to have none."""
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
            self.prove(step, [proofs.Proof("architecture", False, what, 0.0)])

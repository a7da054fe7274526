"""Every architecture step on a tiny model, and a run in small: steps are reached, trained, folded, saved and loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from evenhand.context import StepHandle
from evenhand.contributions import Artifact, Kind
from evenhand.discovery import discover
from evenhand.folding import Placed
from evenhand.plugin import Plugin
from evenhand.recipe_model import StepEntry, TrainingSection
from evenhand.recipe_steps import ResolvedStep, match_steps
from evenhand_sdk.testing import contributions, logits, place, run_context, sample_rows, train
from evenhand_sdk.tiny import kind_of, tiny_causal, tiny_masked
from step_cases import steps_of

CONTROLS = ("random-directions", "random-heads", "weight-noise", "weight-rounding")
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "movement-pruning": {"share": 0.3},
    "attention-temperature": {"beta": 0.8},
}
"""What a step needs for acting on a tiny model within two updates, whatever came before it."""
FORMS: Mapping[str, Mapping[str, Any]] = {
    "leace after-norm": {"form": "after-norm", "positions": "all"},
    "inlp after-norm": {"form": "after-norm", "layers": (0.0, 1.0)},
    "attention-temperature live": {"folded": False},
}
"""Further forms of a step that act elsewhere than its default."""


CASES = steps_of("architecture", ("evenhand-standard", "evenhand-adapterfusion"), OPTIONS, FORMS, without=CONTROLS)


@cache
def base(family: str) -> tuple[Any, Any]:
    return tiny_causal(family) if kind_of(family) == "causal" else tiny_masked(family)


@dataclass(kw_only=True)
class Reached:
    """One transform of a step that was reached."""

    ident: str
    index: int
    transform: Any
    artifact: Artifact


@dataclass
class Small:
    """A run in small: steps are reached in order, then trained together, and the outputs are read."""

    folder: Path
    family: str
    placed: list[Reached] = field(default_factory=list)
    referred: list[Reached] = field(default_factory=list)
    """Of the steps that options refer to, each trained by itself before."""
    entries: list[StepEntry] = field(default_factory=list)
    handles: dict[str, StepHandle] = field(default_factory=dict)
    run: Any = None

    def __post_init__(self) -> None:
        model, self.tokenizer = base(self.family)
        self.model = copy.deepcopy(model)

    @property
    def kind(self) -> Kind:
        return kind_of(self.family)

    def reach(self, name: str, ident: str) -> None:
        """Place a step; steps that its options refer to come before it, each once and with a training of its own."""
        case = CASES[name]
        plugin = case.instance()
        for reference, other in plugin.example_steps.items():
            if reference not in self.handles:
                self._refer(reference, other)
        self.run = self.context(plugin, ident)
        self.entries.append(StepEntry(use=plugin.name, id=ident, options=dict(case.options)))
        for number, transform in enumerate(contributions(plugin, "architecture", self.run)):
            artifact = self._fitted(name, number, transform)
            if transform.apply:
                transform.apply(self.model, artifact)
            self.placed.append(Reached(ident=ident, index=number, transform=transform, artifact=artifact))

    def _refer(self, reference: str, other: Plugin) -> None:
        run = self.context(other, reference)
        found = contributions(other, "architecture", run)
        key = (self.family, reference)
        if key not in TRAINED:  # once, for all pairs; from then on put in as a resumed run does
            TRAINED[key] = [one.artifact for one in place(found, run)]
        else:
            for transform, artifact in zip(found, TRAINED[key], strict=True):
                transform.apply(self.model, artifact)
        self.handles[reference] = StepHandle(id=reference, plugin=other, active=True)
        self.entries.append(StepEntry(use=other.name, id=reference))
        self.referred += [
            Reached(ident=reference, index=k, transform=transform, artifact=artifact)
            for k, (transform, artifact) in enumerate(zip(found, TRAINED[key], strict=True))
        ]

    def context(self, plugin: Plugin, ident: str) -> Any:
        return run_context(
            self.folder, plugin, self.kind, step_id=ident, model=self.model, tokenizer=self.tokenizer,
            steps=dict(self.handles),
        )  # fmt: skip

    def _fitted(self, name: str, number: int, transform: Any) -> Artifact:
        """As a run does: on the model as it is. On the untouched model a step is fitted once, for all its pairs."""
        if transform.fit is None:
            return Artifact()
        if self.placed or self.handles:
            return transform.fit(self.model) or Artifact()
        key = (self.family, name, number)
        if key not in FITTED:
            FITTED[key] = transform.fit(self.model) or Artifact()
        return FITTED[key]

    def train(self) -> None:
        if any(one.transform.trainable or one.transform.finish for one in self.placed):
            train(self.run, rows=sample_rows(), transforms=[one.transform for one in self.placed])
            for one in self.placed:
                if one.transform.finish:
                    one.artifact = one.transform.finish(self.model) or one.artifact

    def outputs(self) -> torch.Tensor:
        return logits(self.run)

    def resolved(self) -> list[ResolvedStep]:
        found, problems = match_steps(self.entries, (), discover(), training=TrainingSection(), kind=self.kind)
        assert not problems
        return found

    def life(self) -> Any:
        """What `portable` reads of a run."""
        order = self.resolved()
        by_id = {step.id: step for step in order}
        return SimpleNamespace(
            folder=self.folder,
            loaded=SimpleNamespace(
                model=self.model, tokenizer=self.tokenizer, info=SimpleNamespace(kind=self.kind, display_name="tiny")
            ),
            placed=[
                Placed(step=by_id[one.ident], transform=one.transform, artifact=one.artifact, index=one.index)
                for one in (*self.referred, *self.placed)
            ],
            rules=[],
            step_order=order,
            recipe=SimpleNamespace(run=SimpleNamespace(seed=0)),
            manifest={"steps": [{"id": step.id, "proofs": []} for step in order]},
            record_proofs=lambda step, found: None,
        )


TRAINED: dict[tuple[str, str], list[Artifact]] = {}
"""What steps that options refer to have learnt."""
FITTED: dict[tuple[str, str, int], Artifact] = {}

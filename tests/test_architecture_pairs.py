"""Any two architecture steps in either order: they work together, or the plan refuses them with the reason.

The steps are those of the entry points, so that a new technique joins by itself. Work together means: the pair is
another model than either step alone, folding changes nothing, each live step still acts (taken back, the outputs
change), and what stays live comes back to the same outputs.

Of steps that act in one way, by one mechanism, one stands for all beside steps of other kinds (`LIKE`).
`EVENHAND_ALL_PAIRS=1 pytest tests/test_architecture_pairs.py` runs every pair.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.context import StepHandle
from evenhand.contributions import Artifact
from evenhand.discovery import discover, load
from evenhand.errors import UsageError
from evenhand.plan import contested
from evenhand.plugin import Plugin
from evenhand.proofs import EXACT
from evenhand.recipe_steps import ResolvedStep
from evenhand_sdk.conformance_case import Case
from evenhand_sdk.testing import Placed, contributions, logits, place, run_context, sample_rows, train
from evenhand_sdk.tiny import tiny_causal

pytestmark = pytest.mark.slow

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
LIKE: Mapping[str, str] = {
    "inlp": "leace",
    "sentence-debias": "leace",
    "inlp after-norm": "leace after-norm",
    "task-adapter": "debiasing-adapter",
}
"""Step -> another one that acts by the very same code and in the same way: erasers on the residual stream, erasers in
front of matrices, adapters. Beside steps of another kind the second stands for both."""
NOTICEABLE = 1e-6
"""A logit that differs by more is no rounding of the tiny model, whose logits are below 1."""


def steps() -> dict[str, Case]:
    """By name: every technique of this project's distributions that changes the model, and its further forms."""
    ours = ("evenhand-standard", "evenhand-adapterfusion")
    rows = [row for row in discover().rows if row.distribution in ours and row.status == "ok"]
    found = {}
    for row in rows:
        plugin = load(row)
        if "architecture" in plugin.stages() and plugin.name not in CONTROLS:
            case = Case.of(plugin, "causal")
            options = {**case.options, **OPTIONS.get(plugin.name, {})}
            found[plugin.name] = Case(plugin=plugin, kind="causal", options=options)
    for name, options in FORMS.items():
        case = found[name.partition(" ")[0]]
        found[name] = Case(plugin=case.plugin, kind="causal", options={**case.options, **options})
    return found


CASES = steps()


def kind_of(name: str) -> str:
    return LIKE.get(name, name)


def matters(first: str, second: str) -> bool:
    """Whether the pair says something that a pair of the steps that stand for these two does not."""
    return kind_of(first) == kind_of(second) or (first not in LIKE and second not in LIKE)


EVERY = [(a, b) for a in CASES for b in CASES]
PAIRS = EVERY if os.environ.get("EVENHAND_ALL_PAIRS") else [pair for pair in EVERY if matters(*pair)]


def resolved(name: str, ident: str) -> ResolvedStep:
    plugin = CASES[name].plugin
    return ResolvedStep(
        id=ident, use=plugin.name, section="steps", plugin=plugin, row=None, options=CASES[name].instance().options,
        raw_options={}, active=True, allow_no_effect=False, references={},
    )  # fmt: skip


CLAIMING = {
    "weights": {"selective-update", "weight-interpolation", "task-vector-negation"},
    "adapters": {"debiasing-adapter", "task-adapter", "adapter-fusion", "adapter-sum", "task-vector-negation"},
    "head scores": {"movement-pruning", "task-vector-negation"},
    "low-rank changes": {"lora", "weight-interpolation", "task-vector-negation"},
}
"""What one training can serve one step with. Nothing else may be learnt while a bias is learnt in order to be
subtracted, so `task-vector-negation` claims all. A sum trains nothing, but needs its adapters trained."""


COMBINING = ("adapter-fusion", "adapter-sum")
"""Two of them cannot have the same adapters, whatever is trained in between."""


def refused(first: str, second: str) -> bool:
    return first != "adapter-sum" and any({first, second} <= names for names in CLAIMING.values())


# ------------------------------------------------------------------------------------------------------ a run in small
@cache
def base() -> tuple[Any, Any]:
    return tiny_causal()


class Small:
    """A run in small: steps are reached in order, then trained together, and the outputs are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, self.tokenizer = copy.deepcopy(base()[0]), base()[1]
        self.placed: list[Placed] = []
        self.handles: dict[str, StepHandle] = {}
        self.run: Any = None

    def reach(self, name: str, ident: str) -> None:
        """Place a step; steps that its options refer to come before it, each once and with a training of its own."""
        case = CASES[name]
        plugin = case.instance()
        for reference, other in plugin.example_steps.items():
            if reference not in self.handles:
                run = self._context(other, reference)
                found = contributions(other, "architecture", run)
                if reference not in TRAINED:  # once, for all pairs; from then on put in as a resumed run does
                    TRAINED[reference] = [one.artifact for one in place(found, run)]
                else:
                    for transform, artifact in zip(found, TRAINED[reference], strict=True):
                        transform.apply(self.model, artifact)
                self.handles[reference] = StepHandle(id=reference, plugin=other, active=True)
        self.run = self._context(plugin, ident)
        for number, transform in enumerate(contributions(plugin, "architecture", self.run)):
            artifact = self._fitted(name, number, transform)
            if transform.apply:
                transform.apply(self.model, artifact)
            self.placed.append(Placed(transform=transform, artifact=artifact))

    def _context(self, plugin: Plugin, ident: str) -> Any:
        return run_context(
            self.folder, plugin, "causal", step_id=ident, model=self.model, tokenizer=self.tokenizer,
            steps=dict(self.handles),
        )  # fmt: skip

    def _fitted(self, name: str, number: int, transform: Any) -> Artifact:
        """As a run does: on the model as it is. On the untouched model a step is fitted once, for all its pairs."""
        if transform.fit is None:
            return Artifact()
        if self.placed or self.handles:
            return transform.fit(self.model) or Artifact()
        if (name, number) not in FITTED:
            FITTED[name, number] = transform.fit(self.model) or Artifact()
        return FITTED[name, number]

    def train(self) -> None:
        if any(one.transform.trainable or one.transform.finish for one in self.placed):
            train(self.run, rows=sample_rows(), transforms=[one.transform for one in self.placed])
            for one in self.placed:
                if one.transform.finish:
                    one.artifact = one.transform.finish(self.model) or one.artifact

    def outputs(self) -> torch.Tensor:
        return logits(self.run)


TRAINED: dict[str, list[Artifact]] = {}
"""What steps that options refer to have learnt."""
FITTED: dict[tuple[str, int], Artifact] = {}
ALONE: dict[str, torch.Tensor] = {}


def alone(name: str, folder: Path) -> torch.Tensor:
    """The outputs of one step by itself."""
    if name not in ALONE:
        small = Small(folder / "alone" / name.replace(" ", "-"))
        small.reach(name, "step-0")
        small.train()
        ALONE[name] = small.outputs()
    return ALONE[name]


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def together(names: tuple[str, str], folder: Path) -> None:
    small = Small(folder)
    for number, name in enumerate(names):
        small.reach(name, f"step-{number}")
    small.train()
    measured = small.outputs()
    assert torch.isfinite(measured).all()
    for name in set(names):
        if names[0] != names[1]:
            assert apart(measured, alone(name, folder)) > NOTICEABLE, f"the pair is {name} alone"
    live = []
    for one in small.placed:
        folded = one.transform.fold is not None and one.transform.fold(small.model)
        assert apart(small.outputs(), measured) <= EXACT, "folding changed the outputs"
        if not folded and (one.transform.apply or one.transform.save):
            live.append(one)
    saved = {}
    for number, one in enumerate(live):
        if one.transform.save:
            saved[number] = folder / f"saved-{number}"
            saved[number].mkdir(parents=True)
            one.transform.save(small.model, saved[number])
    before = measured
    for one in reversed(live):
        if one.transform.revert:
            one.transform.revert(small.model)
            now = small.outputs()
            assert names[0] == names[1] or apart(now, before) > NOTICEABLE, "a live step did not act any more"
            before = now
    for number, one in enumerate(live):
        if one.transform.load:
            one.transform.load(small.model, saved[number])
        elif one.transform.apply:
            one.transform.apply(small.model, one.artifact)
    assert apart(small.outputs(), measured) <= EXACT, "put back, it is another model"


@pytest.mark.parametrize("names", [p for p in PAIRS if not refused(*p) and not set(p) <= set(COMBINING)], ids="+".join)
def test_two_steps_work_together(names: tuple[str, str], tmp_path: Path) -> None:
    together(names, tmp_path)


@pytest.mark.parametrize("name", list(CASES))
def test_a_step_alone_changes_the_model(name: str, tmp_path: Path) -> None:
    small = Small(tmp_path)
    small.run = small._context(CASES[name].instance(), "none")
    assert apart(alone(name, tmp_path), small.outputs()) > NOTICEABLE


def test_what_cannot_work_together_is_refused_by_the_plan() -> None:
    """All pairs, without a training in between and with one."""
    train_step = ResolvedStep(
        id="train", use="train", section="steps", plugin=None, row=None, options=Plugin.Options(), raw_options={},
        active=True, allow_no_effect=False, references={},
    )  # fmt: skip
    for first, second in EVERY:
        one, two = resolved(first, "one"), resolved(second, "two")
        problems = contested([one, two])
        assert bool(problems) == refused(first, second), (first, second)
        if problems:
            word = next(word for word, names in CLAIMING.items() if {first, second} <= names)
            assert problems == [
                f"steps.two: 'one' ({first}) waits for a training of its own, and one training cannot serve both: "
                f"each claims the {word} of the model; put a `train` between them"
            ]
        assert contested([one, train_step, two]) == []


@pytest.mark.parametrize("second", COMBINING)
@pytest.mark.parametrize("first", COMBINING)
def test_the_same_adapters_are_combined_once(first: str, second: str, tmp_path: Path) -> None:
    small = Small(tmp_path)
    small.reach(first, "one")
    small.train()
    with pytest.raises(UsageError, match="adapter 'gender-adapter' is in 'one' already, which 'two' would switch off"):
        small.reach(second, "two")


def test_every_step_is_in_the_matrix() -> None:
    assert {name for names in CLAIMING.values() for name in names} <= set(CASES)
    assert len(CASES) >= 14 and set(LIKE) | set(LIKE.values()) <= set(CASES)
    assert {name for pair in PAIRS for name in pair} == set(CASES)

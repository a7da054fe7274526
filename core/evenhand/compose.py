"""One plugin manager for a run, one step called at a time, and the ways in which contributions become one whole.

pluggy checks hooks and arguments; the order is always the recipe's. Data and architecture fold, objectives total in
the training, decoding rules and sections concatenate, monitors are notified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from evenhand.contributions import (
    Aggregator,
    Benchmark,
    Criterion,
    DataTransform,
    DecodingRule,
    Finding,
    Intervention,
    LossTerm,
    ModelTransform,
    Monitor,
    Section,
)
from evenhand.errors import EvenhandError, PluginFault
from evenhand.guard import describe, fault, guarded, named
from evenhand.hookspecs import PROJECT, LifeCycle
from evenhand.progress import progress
from evenhand.stopping import stopped

if TYPE_CHECKING:
    from datasets import Dataset

    from evenhand.contributions import Finding, Intervention, Observation
    from evenhand.plugin import Plugin
    from evenhand.recipe import ResolvedStep

TYPES: dict[str, tuple[type, ...]] = {
    "data": (DataTransform,),
    "objective": (LossTerm, Aggregator, Criterion),
    "architecture": (ModelTransform,),
    "decoding": (DecodingRule,),
    "monitoring": (Monitor,),
    "transparency": (Section,),
    "evaluation": (Benchmark,),
}
"""What each hook may return."""


class Composer:
    """The plugins of one run, registered by step id."""

    def __init__(self, steps: Iterable[tuple[ResolvedStep, Plugin]]) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(LifeCycle)
        self._plugins: dict[str, tuple[ResolvedStep, Plugin]] = {}
        for step, plugin in steps:
            self._manager.register(plugin, name=f"{step.section}:{step.id}")
            self._plugins[f"{step.section}:{step.id}"] = (step, plugin)
        self._manager.check_pending()

    def call(self, stage: str, step: ResolvedStep, **arguments: Any) -> list[Any]:
        """The contributions of one step to one stage, checked; faults carry plugin, version, hook and step."""
        key = f"{step.section}:{step.id}"
        others = [p for k, (_, p) in self._plugins.items() if k != key]
        hook = self._manager.subset_hook_caller(stage, remove_plugins=others)
        try:
            answers = hook(**arguments)
        except EvenhandError as error:
            named(error, step, stage)
            raise
        except BaseException as error:
            if stopped(error):
                raise
            raise fault(step, stage, error) from error
        found: list[Any] = []
        for answer in answers:
            found += answer if isinstance(answer, list) else [answer]
        allowed = TYPES[stage]
        for contribution in found:
            if not isinstance(contribution, allowed):
                names = " or ".join(t.__name__ for t in allowed)
                raise PluginFault(
                    f"`{stage}` returned {type(contribution).__name__}, it must return {names}, a list, or None",
                    where=describe(step, stage),
                )
        return [guarded(c, step, stage) for c in found]


def fold_data(rows: Dataset, transforms: Sequence[tuple[ResolvedStep, DataTransform]]) -> Dataset:
    """Apply data transforms in order; the second sees what the first returned. A stream stays one."""
    from datasets import Dataset, IterableDataset

    streaming = isinstance(rows, IterableDataset)

    with progress("Preparing the data", total=len(transforms), unit="steps") as bar:
        for step, transform in transforms:
            out = transform.fn(rows)
            if transform.looks_on and out is not rows:
                raise PluginFault("it looks on, so it must return the very rows", where=describe(step, "data"))
            if streaming and isinstance(out, IterableDataset):
                rows = out
                bar.advance()
                continue
            if not isinstance(out, Dataset) or "text" not in out.column_names:
                raise PluginFault(
                    "the transform must return a datasets.Dataset with a column `text`", where=describe(step, "data")
                )
            rows = out
            bar.advance()
    return rows


def _outcomes(step: ResolvedStep, given: Any) -> list[Finding | Intervention]:
    """What a monitor says of one response; PluginFault where it says it in another way."""
    wrong = None if isinstance(given, Iterable) and not isinstance(given, str) else type(given).__name__
    found = [] if wrong else list(given)
    among = next((type(each).__name__ for each in found if not isinstance(each, Finding | Intervention)), None)
    if wrong or among:
        returned = wrong or f"a list with {among} in it"
        raise PluginFault(
            f"`observe` returned {returned}, it must return a list of Finding and Intervention, empty for none",
            where=describe(step, "monitoring"),
        )
    return found


def notify(
    monitors: Sequence[tuple[ResolvedStep, Monitor]], observation: Observation, on_fault: Any
) -> list[tuple[ResolvedStep, Finding | Intervention]]:
    """Tell every monitor; a monitor that raises is reported through `on_fault(step, error)` and the others go on."""
    found: list[tuple[ResolvedStep, Finding | Intervention]] = []
    for step, monitor in monitors:
        try:
            found += [(step, each) for each in _outcomes(step, monitor.observe(observation))]
        except BaseException as error:  # isolation is the rule of this stage
            if stopped(error):
                raise
            on_fault(step, error)
    return found

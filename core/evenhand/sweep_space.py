"""What a sweep may change: the keys of `[sweep] parameters`, checked before anything is tried.

A search chooses among mitigations, so it may set keys of steps, of the training and of its text. What is measured, on
which model and against which budget is the same for every configuration.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.near_match import did_you_mean
from evenhand.overrides import write_value
from evenhand.recipe_model import RecipeSection, SweepRange, SweepSection
from evenhand.toml_writing import toml_literal

PLACE = "sweep.parameters"
SEARCHED = ("steps", "training", "data")
"""Where the keys of parameters may lie."""

Value = bool | int | float | str


def sweep_problems(table: Mapping[str, Any], section: RecipeSection | None, benchmarks: Sequence[str]) -> list[str]:
    """What can be said against a `[sweep]` before any plugin is asked; `table` is the recipe, its entries with ids."""
    if not isinstance(section, SweepSection):
        return []
    problems = []
    for key, given in section.parameters.items():
        parts = [part.strip() for part in key.split(".")]
        if parts[0] not in SEARCHED:
            what = f"{parts[0]!r} is the same for every configuration; a sweep sets keys of {', '.join(SEARCHED)}"
            problems.append(f"{PLACE}.{key!r}: {what}")
            continue
        problem = write_value(copy.deepcopy(dict(table)), parts, samples(given)[0])
        if problem:
            problems.append(f"{PLACE}.{key!r}: {problem}")
        elif not isinstance(given, SweepRange) and len(set(map(repr, given))) < len(given):
            problems.append(f"{PLACE}.{key!r}: a choice is named twice")
    for name in section.objectives:
        ident = name.partition(".")[0]
        if not any(ident == b or ident.startswith(f"{b}-") for b in benchmarks):
            near = did_you_mean(ident, benchmarks)
            listed = f" (benchmarks: {', '.join(benchmarks) or 'none'})"
            problems.append(f"sweep.objectives: no benchmark {ident!r}{near}{listed}")
    if len(set(section.objectives)) < len(section.objectives):
        problems.append("sweep.objectives: an objective is named twice")
    return problems


def samples(given: SweepRange | Sequence[Value]) -> list[Value]:
    """Values that show whether all can be used: both ends and one between them, or every choice."""
    if not isinstance(given, SweepRange):
        return list(given)
    if given.whole:
        return [int(given.low), int(given.high)]
    if given.step is not None:
        return [given.low, given.low + given.step, given.high]
    return [given.low, given.low + (given.high - given.low) / 3.7, given.high]


def suggested(trial: Any, section: SweepSection) -> dict[str, Value]:
    """The values of one trial of the search library, by key."""
    found: dict[str, Value] = {}
    for key, given in section.parameters.items():
        if not isinstance(given, SweepRange):
            found[key] = trial.suggest_categorical(key, list(given))
        elif given.whole:
            step = int(given.step or 1)
            found[key] = trial.suggest_int(key, int(given.low), int(given.high), step=step, log=given.log)
        else:
            found[key] = trial.suggest_float(key, given.low, given.high, step=given.step, log=given.log)
    return found


def as_overrides(values: Mapping[str, Value]) -> list[str]:
    """Values as they are given with `--set`."""
    return [f"{key}={toml_literal(value)}" for key, value in values.items()]

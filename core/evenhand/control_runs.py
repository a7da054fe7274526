"""Models that nobody meant to be fairer, made from the untouched one and measured on the same items.

Continued training reads as many tokens of the same text as it was, and moves the same parameters: what it changes is
what training changes. A degradation (noise, a mixture with unigrams, ...) is set so that it costs as much language
quality as the run did: what it changes is what becoming worse changes.

Source: the reporting protocol of this project; for the need of it, Gonçalves and Strubell 2023 (compressed models score
as fairer because they model language less well).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evenhand.compose import Composer
from evenhand.contributions import LossTerm
from evenhand.life import Life
from evenhand.manifest import Manifest
from evenhand.run_folders import STATE
from evenhand.strength_search import FIRST_STRENGTH, matched_strength

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.proofs import Proof
    from evenhand.recipe import ResolvedStep


@dataclass(kw_only=True)
class Control:
    """What became of one control."""

    id: str
    state: Literal["run", "not applicable", "not run"]
    reason: str = ""
    required: bool = False
    """Whether nothing counts as an improvement without it, where it applies."""
    strength: float | None = None
    strengths: list[float] = field(default_factory=list)
    """Of a degradation that draws at random: the strength with each seed of the run, the first one's in front."""
    cost: float | None = None
    """Language quality before over after, as a ratio above 1 for a loss; of a degradation: as matched."""
    tokens: int | None = None
    """What continued training read."""
    run_tokens: int | None = None
    """What the run's own trainings read, which it is matched to."""
    records: dict[str, list[ItemRecord]] = field(default_factory=dict)
    """By benchmark id, when it ran."""
    others: dict[int, dict[str, list[ItemRecord]]] = field(default_factory=dict)
    """The same with each further seed of the run, where seeds make a difference."""
    reused: list[int] = field(default_factory=list)
    """Seeds of continued training whose records are those of an earlier run with the same control."""


class Aside(Manifest):
    """The record of a life beside the run, such as a control's: nothing is written, events go to the run's record."""

    def __init__(self, life: Life, name: str, steps: Sequence[ResolvedStep], folder: Path) -> None:
        super().__init__(folder, life.recipe, name)
        self._told = life.manifest
        self.data["steps"] = [{"id": step.id, "proofs": []} for step in steps]

    def event(self, stage: str, text: str) -> None:
        self._told.event(self.data["name"], f"{stage}: {text}")

    def write(self) -> None:
        pass


class Untouched(Life):
    """A life beside the one that is told of: it begins with the untouched model and the text as it was."""

    def _place(self, stage: str, step: ResolvedStep, found: list[Any]) -> None:
        if stage == "objective":  # an anchor holds the model where it was; every other term is the method's own
            found = [term for term in found if isinstance(term, LossTerm) and term.anchor]
        if stage in ("objective", "architecture") or step.section == "controls":
            super()._place(stage, step, found)

    def prove(self, step: ResolvedStep, found: Sequence[Proof]) -> None:
        """What is shown is kept, and nothing is demanded: a step that does nothing on plain text is a valid control."""
        self.record_proofs(step, found)


def beside(life: Life, name: str, steps: Sequence[tuple[ResolvedStep, Any]], *, seed: int | None = None) -> Untouched:
    """A life on a fresh copy of the untouched model, for these steps and their plugins; with the seed of the run, or
    another."""
    model = life.services.load_base()
    seed = life.recipe.run.seed if seed is None else seed
    recipe = life.recipe.model_copy(update={"run": life.recipe.run.model_copy(update={"seed": seed})})
    folder = life.folder / STATE / "controls" / name
    folder.mkdir(parents=True, exist_ok=True)
    return Untouched(
        recipe=recipe, manifest=Aside(life, f"control {name}", [s for s, _ in steps], folder),
        composer=Composer([(s, p) for s, p in steps if p is not None]), loaded=replace(life.loaded, model=model),
        services=replace(life.services, model=model, folder=folder, seed=seed, rules=()), folder=folder, rows=life.rows,
        resume=life.resume, offline=life.offline, step_order=[s for s, _ in steps],
        aside=f"the control {name}",
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- matching
def degraded(
    life: Life,
    step: ResolvedStep,
    price: Callable[[Untouched], float],
    target: float,
    *,
    seed: int,
    first: float = FIRST_STRENGTH,
) -> tuple[Untouched, float, float] | None:
    """The untouched model under one plugin at the strength that costs `target` nat; None when it cannot be reached.

    `seed` is what the plugin draws by; the search begins at the strength `first`.
    """
    assert step.plugin is not None
    last: list[Untouched] = []

    def cost(strength: float) -> float:
        last.clear()  # one copy of the model at a time
        options = step.options.model_copy(update={"strength": strength})
        at = replace(step, options=options)
        plugin = at.plugin(at.options)  # type: ignore[misc]
        other = beside(life, step.id, [(at, plugin)], seed=seed)
        other.resume = False  # what a stopped run had fitted was for another strength
        other.reach(at, plugin)
        last.append(other)
        return price(other)

    found = matched_strength(cost, target, first)
    return (last[0], *found) if found else None


def log_cost(benchmark: Benchmark, before: Sequence[ItemRecord], after: Sequence[ItemRecord]) -> float:
    """Language quality lost, in the logarithm of the primary metric: above 0 for a loss; nan where undefined."""
    from evenhand.result_entries import primary_of
    from evenhand.sample import Table, value_of

    metric = primary_of(benchmark)
    values = [value_of(metric, Table.of(records)) for records in (before, after)]
    if not all(value > 0 and math.isfinite(value) for value in values):
        return math.nan
    lost = math.log(values[1]) - math.log(values[0])
    return -lost if metric.better == "higher" else lost

"""The trainings of a run once more, with other seeds: how much of a change is the luck of one training?

Each further seed takes all steps of the recipe on a fresh copy of the untouched model, with its own order of rows and
its own randomness, and is measured on the same items with the same sampling. The model of the first seed is the one
that is kept; it waits on the disk meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evenhand.compose import Composer
from evenhand.control_runs import Aside
from evenhand.kept_records import each_once, once
from evenhand.life import Life
from evenhand.manifest import plain
from evenhand.parking import parked
from evenhand.run_folders import STATE

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.plan import Plan
    from evenhand.recipe import ResolvedStep

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]


def trained_again(life: Life, work: Plan, benchmarks: Benchmarks) -> dict[int, dict[str, list[ItemRecord]]]:
    """Records after the run's steps with each further seed of the recipe, by seed and benchmark id."""
    further = life.recipe.run.all_seeds[1:]
    if not further:
        return {}
    first = {"seed": life.recipe.run.seed, "training": life.manifest["training"]}
    life.manifest["seeds"] = [first]
    found = {}
    with parked(life.loaded.model, life.folder / STATE / "seeds"):
        for seed in further:
            with life.manifest.timed(f"seed {seed}"):
                found[seed], training = once(life, f"seed-{seed}", lambda: _made(life, work, benchmarks, seed))  # noqa: B023
            life.manifest["seeds"].append({"seed": seed, "training": training})
            life.manifest.write()
    return found


def _made(life: Life, work: Plan, benchmarks: Benchmarks, seed: int) -> tuple[dict[str, list[ItemRecord]], Any]:
    """The records with one seed, and its trainings; its model is gone afterwards."""
    other = _lived(life, work.steps, seed)
    return _measured(life, other, benchmarks, seed), plain(other.manifest["training"])


def _lived(life: Life, steps: Sequence[ResolvedStep], seed: int) -> Life:
    """A life through the same steps with another seed."""
    folder = life.folder / STATE / "seeds" / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = life.recipe.model_copy(update={"run": life.recipe.run.model_copy(update={"seed": seed})})
    plugins = {s.id: s.plugin(s.options) for s in steps if s.plugin}
    model = life.services.load_base()
    other = Life(
        recipe=recipe, manifest=Aside(life, f"seed {seed}", steps, folder),
        composer=Composer([(s, plugins[s.id]) for s in steps if s.plugin]), loaded=replace(life.loaded, model=model),
        services=replace(life.services, model=model, folder=folder, seed=seed, rules=()), folder=folder,
        rows=life.rows, resume=life.resume, strict=life.strict, offline=life.offline,
    )  # fmt: skip
    other.step_order = list(steps)
    for step in steps:
        other.reach(step, plugins.get(step.id))
    return other


def _measured(life: Life, other: Life, benchmarks: Benchmarks, seed: int) -> dict[str, list[ItemRecord]]:
    from evenhand.measuring import measure

    rules = [rule for _, rule in other.rules]
    on_event = lambda text: other.manifest.event("measuring", text)  # noqa: E731
    when = f"with seed {seed}"
    return each_once(
        life, f"seed-{seed}", benchmarks,
        lambda one: measure(one, other.loaded, rules, life.recipe, when=when, on_event=on_event)[0],
    )  # fmt: skip

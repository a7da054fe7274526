"""From the records of a finished run to its results: further seeds, comparisons, controls, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.controls import entry_of, run_controls
from evenhand.evidence import compare_benchmark
from evenhand.item_records import write_records
from evenhand.judging import claims, judge
from evenhand.multiplicity import adjusted
from evenhand.noninferiority import quality_summary
from evenhand.seed_runs import trained_again

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.control_runs import Control
    from evenhand.life import Life
    from evenhand.plan import Plan
    from evenhand.recipe import ResolvedStep

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]
    Records = Mapping[str, Sequence[ItemRecord]]


def assess(life: Life, work: Plan, benchmarks: Benchmarks, before: Records, after: Records, mode: str) -> None:
    """Fill `benchmarks`, `quality`, `controls` and `seeds` of the run's record, and keep the records of all items.

    `mode` says how scores came about.
    """
    manifest, settings = life.manifest, life.recipe.evaluation
    mark = life.contamination.marked if life.contamination is not None else dict
    others = {seed: mark(found) for seed, found in trained_again(life, work, benchmarks).items()}
    entries: list[dict[str, Any]] = []
    for name, (step, benchmark) in benchmarks.items():
        compared = compare_benchmark(
            benchmark, before[name], after[name], resamples=settings.resamples, confidence=settings.confidence,
            seed=life.recipe.run.seed, budget=life.recipe.budget.perplexity, axis_margin=settings.axis_margin,
            others={seed: found[name] for seed, found in others.items()},
        )  # fmt: skip
        entries.append({**compared, "id": name, "use": step.use, "scoring": mode})
        _keep(life, name, before[name], after[name])
        for seed, found in others.items():
            _keep(life, f"{name}.seed-{seed}", before[name], found[name])
    manifest["benchmarks"] = adjusted(entries)
    manifest["quality"] = quality_summary(manifest["benchmarks"], life.recipe.budget.perplexity)
    headline, level = (manifest["primary"] or {}).get("benchmark"), 1 - settings.confidence
    standing = claims(manifest["benchmarks"], manifest["quality"], primary=headline, level=level)
    made = run_controls(life, work, benchmarks, before, standing)
    for control in made:
        control.records = mark(control.records)
        control.others = {seed: mark(found) for seed, found in control.others.items()}
    manifest["controls"] = [entry_of(control, benchmarks, after, life, others) for control in made]
    for control in made:
        _keep_control(life, control, after, others)
    manifest["benchmarks"] = [
        judge(
            e,
            manifest["controls"],
            manifest["quality"],
            primary=e["id"] == headline,
            level=level,
            others=manifest["benchmarks"],
        )
        for e in manifest["benchmarks"]
    ]


def _keep_control(life: Life, control: Control, after: Records, others: Mapping[int, Records]) -> None:
    for name, records in control.records.items():
        _keep(life, f"{name}.{control.id}", records, after[name])
    for seed, found in control.others.items():
        for name, records in found.items():
            _keep(life, f"{name}.{control.id}.seed-{seed}", records, others[seed][name])


def _keep(life: Life, name: str, before: Sequence[ItemRecord], after: Sequence[ItemRecord]) -> None:
    write_records(life.folder / "items" / f"{name}.parquet", before, after)

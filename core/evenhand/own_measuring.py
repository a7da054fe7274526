"""Benchmarks on a model that is in memory: values with intervals, and verdicts on what a change of yours did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import own_words
from evenhand.contributions import Benchmark, ItemRecord, Kind
from evenhand.errors import UsageError
from evenhand.own_code import Given, OwnSteps, configured
from evenhand.own_model import active_rules
from evenhand.recipe_model import BUDGET

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A benchmark's scores of one model, item by item."""

    id: str
    benchmark: Benchmark
    records: Sequence[ItemRecord]
    mode: str
    """How scores came about, to be read with every number."""
    precision: str = "float32"
    """The number format of the computation."""
    seed: int = 0

    @cached_property
    def values(self) -> dict[str, dict[str, float | None]]:
        """By metric: `value`, and its 95 % interval `low`, `high` (cluster bootstrap); None where undefined."""
        from evenhand.evaluation_entry import measured_entry

        entry = measured_entry(self.benchmark, self.records, seed=self.seed)
        return {metric["name"]: metric["after"] for metric in entry["metrics"]}

    def __str__(self) -> str:
        units = {metric.name: metric.unit for metric in self.benchmark.metrics}
        lines = [f"{self.benchmark.title}, {len(self.records):,} items ({self.mode})"]
        for name, found in self.values.items():
            numbers = ["undefined" if v is None else f"{v:.4g}" for v in found.values()]
            unit = f" {units[name]}" if units[name] else ""
            lines.append(f"  {name}: {numbers[0]}{unit} [{numbers[1]}, {numbers[2]}]")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{self.id}: {len(self.records)} items>"


def measure(
    model: PreTrainedModel,
    tokenizer: Any,
    benchmarks: Sequence[Given],
    *,
    kind: Kind | None = None,
    seed: int = 0,
    dtype: str = "auto",
    worked_with: Sequence[Given] = (),
) -> dict[str, Measurement]:
    """Score benchmarks on the model as it is; gives the measurements by benchmark id.

    Decoding rules in force on the model (`decode_with`, `load`) count. Its weights and its mode stay as they are.
    Items with words that a change of the model worked with are flagged, since a result on them alone is no evidence:
    those of `Objective`, `apply`, `decode_with` and `transform_data` with this model are known, further plugins are
    named in `worked_with`.
    Raises PluginFault when a benchmark fails, WrongModelKind when the model cannot be judged.
    """
    from evenhand.measured import Measured
    from evenhand.measuring import demand_trained_head

    steps = OwnSteps(model, tokenizer, benchmarks, kind=kind, seed=seed)
    found = steps.contributions("evaluation")
    demand_trained_head(model, [benchmark for _, benchmark in found], str(getattr(model, "name_or_path", "")))
    changed = [*own_words.noted(model), *configured(worked_with)]
    made: dict[str, Measurement] = {}
    for step, benchmark in found:
        alone = sum(other is step for other, _ in found) == 1
        name = step.id if alone else f"{step.id}-{benchmark.name}"
        measured = Measured(
            model,
            tokenizer,
            steps.kind,
            active_rules(model),
            dtype,  # type: ignore[arg-type]
            seed=seed,
            title=f"Measuring {name}",
        )
        records = own_words.marked(benchmark, list(benchmark.score(measured)), changed)
        made[name] = Measurement(
            id=name,
            benchmark=benchmark,
            records=records,
            mode=measured.mode,
            precision=measured.precision,
            seed=seed,
        )
    return made


def compare(before: Any, after: Any, *, budget: float = BUDGET, confidence: float = 0.95) -> Any:
    """What changed between two results of `measure`: by benchmark, its entry as in `run.json`.

    An entry has `verdict` (improved, controls not run; by construction, not evidence; worse; no demonstrated effect;
    too few items; for language
    quality: within, over, or not shown to be within the budget), its `reason`, `verdict_text` (one sentence) and
    `metrics` (each with before, after and change, and their intervals). Nothing here makes controls, and without a
    quality benchmark nothing counts as an improvement. Given two folders of runs or evaluations, or what `run` and
    `evaluate` gave, the comparison of those. Raises UsageError when the two were not measured on the same items in the
    same way.
    """
    folders = [getattr(side, "folder", side) for side in (before, after)]
    if isinstance(folders[0], str | Path):
        from evenhand.compare import compare as compare_folders

        return compare_folders(*folders)
    found = [_verdict(name, before[name], after[name], budget, confidence) for name in _shared(before, after)]
    return {entry["id"]: entry for entry in _judged(found, budget, confidence)}


def _judged(entries: Sequence[dict[str, Any]], budget: float, confidence: float) -> list[dict[str, Any]]:
    """The entries as a run without controls would have them."""
    from evenhand.control_steps import CONTINUED, REQUIRED
    from evenhand.judging import judge
    from evenhand.multiplicity import adjusted
    from evenhand.noninferiority import quality_summary

    controls = [{"id": name, "state": "not run", "benchmarks": []} for name in (CONTINUED, *REQUIRED)]
    quality, corrected = quality_summary(entries, budget), adjusted(entries)
    first = next((e["id"] for e in corrected if not e["quality"]), None)
    level = 1 - confidence
    return [judge(e, controls, quality, primary=e["id"] == first, level=level, others=corrected) for e in corrected]


def _shared(before: Mapping[str, Measurement], after: Mapping[str, Measurement]) -> list[str]:
    if before.keys() != after.keys():
        raise UsageError(
            "before and after were measured by different benchmarks",
            where="compare",
            known=f"before: {', '.join(before) or 'none'}; after: {', '.join(after) or 'none'}",
            do="give both measurements the same benchmarks",
        )
    return list(before)


def _verdict(name: str, before: Measurement, after: Measurement, budget: float, confidence: float) -> dict[str, Any]:
    from evenhand.evidence import compare_benchmark

    left, right = before.benchmark, after.benchmark
    ids = [{r.id for r in m.records} for m in (before, after)]
    pairs: list[tuple[str, Any, Any]] = [
        ("definition", left.mode, right.mode),
        ("number format", before.precision, after.precision),
        ("version", left.version, right.version),
        ("data digest", left.data_digest, right.data_digest),
        ("items that the other one has not", len(ids[0] - ids[1]), len(ids[1] - ids[0])),
    ]
    differing = [f"{what}: {a or 'none'} before, {b or 'none'} after" for what, a, b in pairs if a != b]
    if differing or ids[0] != ids[1]:
        raise UsageError(
            f"{name} was not measured alike", where="compare", known="\n  ".join(differing), do="measure both anew"
        )
    quality = budget if left.quality else None
    entry = compare_benchmark(
        left, before.records, after.records, confidence=confidence, seed=before.seed, budget=quality
    )
    return {**entry, "id": name}

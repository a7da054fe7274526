"""Compare two models: what two runs left behind, what two evaluations measured, or one of each, item by item.

Of a run only the AFTER scores are compared, those of all its seeds, paired by item. What may be compared is decided in
`comparable`; numbers that mean different things are refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import comparable, compared_seeds
from evenhand import report_wording as wording
from evenhand.contributions import Benchmark, ItemRecord, Metric
from evenhand.errors import RunNotFound, UsageError
from evenhand.multiplicity import holm
from evenhand.report_numbers import listing, percent
from evenhand.report_reading import read_run
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult
from evenhand.summary import NARROW, STYLES, WIDTH, in_lines, longest_word, name_of_row, plain_console, tidy
from evenhand.verdict_text import p_value

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

RESAMPLES = 10_000
"""Bootstrap resamples where the first run's recipe names none."""

WORDS = {
    "improved": "B is better",
    "worse": "B is worse",
    "no demonstrated effect": "no demonstrated difference",
}
"""Verdict of the evidence, with A as before and B as after -> what it means for two models."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the same items: A stands where "before" stands in a report, B where "after" stands."""

    folder_a: Path
    folder_b: Path
    run_a: RunRecord
    run_b: RunRecord
    benchmarks: Sequence[BenchmarkResult]
    only_a: Sequence[str]
    """Benchmarks that B did not run."""
    only_b: Sequence[str]
    """Benchmarks that A did not run."""
    notes: Sequence[str]
    """Differences that do not forbid a comparison, but may explain a part of it."""

    def __str__(self) -> str:
        from rich.console import Console

        out = Console(file=io.StringIO(), width=WIDTH, markup=False, highlight=False, emoji=False)
        print_comparison(self, console=out)
        assert isinstance(out.file, io.StringIO)
        return out.file.getvalue().rstrip("\n")


def compare(run_a: Path | str, run_b: Path | str) -> Comparison:
    """Compare two folders of runs or evaluations, with the settings of the first one.

    Raises RunNotFound when a folder holds neither or lacks the scores of a shared benchmark, and UsageError,
    with every differing value, when the two cannot be compared.
    """
    from evenhand.evidence import compare_benchmark

    folder_a, folder_b = Path(run_a), Path(run_b)
    a, b = read_run(folder_a), read_run(folder_b)
    shared = [x for x in a.benchmarks if any(x.id == y.id for y in b.benchmarks)]
    others = {y.id: y for y in b.benchmarks}
    comparable.demand_alike(folder_a, folder_b, a, b, [(x, others[x.id]) for x in shared])
    splits = comparable.per_token(a, b, shared)
    settings = a.recipe.get("evaluation") or {}
    side_a, side_b, paired = compared_seeds.sides(folder_a, folder_b, a, b)
    results = []
    for benchmark in shared:
        (before, further_before), (after, further) = (side.records(benchmark.id) for side in (side_a, side_b))
        comparable.demand_same_items(benchmark.id, before, after)
        kept = [m for m in benchmark.metrics if m.name not in splits.get(benchmark.id, ())]
        if not kept:
            continue
        found = compare_benchmark(
            definition_of(benchmark.model_copy(update={"metrics": kept})),
            before,
            after,
            resamples=int(settings.get("resamples") or RESAMPLES),
            confidence=a.confidence,
            seed=a.seed,
            budget=a.quality.budget if a.quality is not None else None,
            others=further,
            others_before=further_before,
            after_seed=side_b.seeds[0],
            paired_seeds=paired,
        )
        result = _result(benchmark, found)
        decisive = benchmark.primary
        if decisive not in kept:
            result = comparable.without_verdict(result)
        elif comparable.formats_differ(benchmark, others[benchmark.id]):
            result = comparable.of_other_format(result, others[benchmark.id])
        results.append(result)
    return Comparison(
        folder_a=folder_a,
        folder_b=folder_b,
        run_a=a,
        run_b=b,
        benchmarks=results,
        only_a=[x.id for x in a.benchmarks if x.id not in others],
        only_b=[y.id for y in b.benchmarks if all(y.id != x.id for x in shared)],
        notes=comparable.notes(a, b, shared, splits) + _corrected(results),
    )


def _is_judged(benchmark: BenchmarkResult) -> bool:
    """Whether it is said of a bias benchmark which of the two is better."""
    return not benchmark.quality and benchmark.verdict in WORDS


def _corrected(benchmarks: Sequence[BenchmarkResult]) -> list[str]:
    """What is left of the verdicts when it is counted how many there are; nothing is said of a single one."""
    ps = {x.label: x.primary.p for x in benchmarks if _is_judged(x) and x.primary is not None}
    known = {label: p for label, p in ps.items() if p is not None}
    if len(known) < 2:
        return []
    adjusted = zip(known, holm(list(known.values())), strict=True)
    return [
        f"the verdicts are not corrected for the {len(known)} bias benchmarks that were looked at; with Holm's "
        "correction: " + "; ".join(f"{label}, {p_value(p)}" for label, p in adjusted)
    ]


def definition_of(benchmark: BenchmarkResult) -> Benchmark:
    """The benchmark as far as aggregation needs it: the scores exist already."""
    known = {f.name for f in fields(Metric)}
    metrics = []
    for metric in benchmark.metrics:
        values = {k: v for k, v in metric.definition.items() if k in known}
        if "statistic" in values:
            values["statistic"] = _statistic(str(values["statistic"]), benchmark.id)
        if "value" not in values:
            raise RunNotFound(
                f"run.json does not say how {benchmark.id} computes {metric.name!r}",
                do="measure it again with this version of evenhand",
            )
        shown = metric.model_dump(include={"name", "unit", "description", "primary", "target", "better"})
        metrics.append(Metric(**{**shown, **values}))

    def score(_: Any) -> Sequence[ItemRecord]:
        raise UsageError(f"{benchmark.id}: a benchmark that was read from run.json cannot score a model")

    return Benchmark(
        name=benchmark.name or benchmark.id,
        title=benchmark.label,
        score=score,
        metrics=metrics,
        quality=benchmark.quality,
        mode=benchmark.mode,
        version=benchmark.version,
        data_digest=benchmark.data_digest,
        able=benchmark.able,
    )


def _statistic(place: str, benchmark: str) -> Any:
    """The function `module:name` of an installed plugin distribution; no other module is imported."""
    import importlib

    from evenhand.discovery import plugin_packages

    module, _, name = place.partition(":")
    package = module.partition(".")[0]
    if package in plugin_packages():
        found = getattr(importlib.import_module(module), name, None)
        if callable(found):
            return found
    raise RunNotFound(
        f"the function that computes a metric of {benchmark} is not installed",
        known=f"run.json names {place}",
        do="install the distribution of that benchmark, in the version that run.json states",
    )


def _result(benchmark: BenchmarkResult, found: Any) -> BenchmarkResult:
    values: Mapping[str, Any] = asdict(found) if is_dataclass(found) and not isinstance(found, type) else found
    return BenchmarkResult.model_validate({**benchmark.model_dump(), **values, "id": benchmark.id})


def print_comparison(comparison: Comparison, *, console: Console | None = None) -> None:
    """Print which runs were compared, the paired differences with intervals, and what else differs."""
    with tidy(console or plain_console()) as out:
        _print(comparison, out)


def _print(comparison: Comparison, out: Console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    a, b = comparison.run_a, comparison.run_b
    runs = a.kind == b.kind == "run"
    title = f"{a.model_label}: two runs after mitigation" if runs else "Two models"
    out.print(Text(f"{title}, paired item by item", style="bold"))
    for letter, run, folder in (("A", a, comparison.folder_a), ("B", b, comparison.folder_b)):
        names = listing([wording.step_label(s) for s in run.active_steps]) or "no step"
        if not runs:
            names = run.model_label + (f", after {names}" if run.kind == "run" else ", as it is")
        out.print(Padding(Text(f"{letter}  {folder} ({names})"), (0, 0, 0, 2)))
    if a.scored_by and a.scored_by == b.scored_by:  # otherwise the notes tell it of each
        out.print(Padding(Text(f"scored by: {a.scored_by}"), (0, 0, 0, 2)))
    out.print()
    found = _in_lines(comparison) if out.width < NARROW else _table(comparison, out.width)
    out.print(Padding(found, (0, 0, 0, 2)))
    notes = [f"definition of {x.label}: {x.mode}" for x in comparison.benchmarks if x.mode]
    notes += [f"{x}: only in A" for x in comparison.only_a] + [f"{x}: only in B" for x in comparison.only_b]
    for note in (*notes, *comparison.notes):
        out.print(Padding(Text(f"- {note}"), (0, 0, 0, 2)))


def _shown(comparison: Comparison) -> Iterator[tuple[BenchmarkResult, Any, Text]]:
    """What is printed of each benchmark: (benchmark, row, verdict)."""
    from rich.text import Text

    for benchmark in comparison.benchmarks:
        verdict = WORDS.get(benchmark.verdict, benchmark.verdict or "none")
        for row in wording.rows(benchmark):
            if row.primary or benchmark.verdict == comparable.NO_VERDICT:
                yield benchmark, row, Text(verdict, style=STYLES[wording.tone(benchmark.verdict)])


def _in_lines(comparison: Comparison) -> Group:
    """What the table says, for a terminal where its columns would break words."""
    from rich.text import Text

    found, level = [], percent(comparison.run_a.confidence)
    for benchmark, row, verdict in _shown(comparison):
        told = [
            Text(f"A {row.before}, B {row.after}"),
            Text(f"B \u2212 A {row.change}, {level} interval {row.interval or 'none'}"),
            Text("verdict: ").append_text(verdict),
        ]
        if row.distance:
            told.append(Text(f"distance from the ideal: {row.distance}"))
        if row.detectable and _is_judged(benchmark):
            told.append(Text(f"detectable with 80 % power: \u00b1{row.detectable}", style="dim"))
        found.append((Text(name_of_row(benchmark, row)), told))
    return in_lines(found)


def _table(comparison: Comparison, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    labels = [words for x in comparison.benchmarks for words in (x.label, *(f"{m.name}, {m.unit}" for m in x.metrics))]
    table.add_column("benchmark", ratio=1, overflow="fold", min_width=min(30, longest_word(labels)))
    for title in ("A", "B", "B \u2212 A"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column(f"{percent(comparison.run_a.confidence)} interval", no_wrap=width >= WIDTH)
    table.add_column("verdict", min_width=12, max_width=26)
    for benchmark, row, verdict in _shown(comparison):
        table.add_row(
            Text(name_of_row(benchmark, row)), row.before, row.after, row.change, Text(row.interval or "none"), verdict
        )
        if row.distance:
            moved, _, ends = row.distance.partition(" ")
            table.add_row(Text("  distance from the ideal"), "", "", moved, Text(ends), "")
        if row.detectable and _is_judged(benchmark):
            table.add_row(Text("  detectable with 80 % power", style="dim"), "", "", f"\u00b1{row.detectable}", "", "")
    return table

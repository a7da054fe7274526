"""The table of many runs as a page: every technique side by side, as it fell.

Verdicts of all kinds are written alike. What was not run has a row that says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from evenhand.evidence_cells import (
    bias_cell,
    control_rows,
    controls_cell,
    definition,
    dose,
    quality_cell,
    run_rows,
    seed_rows,
    stale,
    steps_cell,
    time_cell,
    untouched_cell,
)
from evenhand.evidence_glance import LEGEND, glance_row, tally
from evenhand.evidence_glance import header as glance_header
from evenhand.report_numbers import counted, listing, percent
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult
from evenhand.techniques import STAGES, Technique

NOTE = "<!-- Written by `toolkit evidence` from the files in results/. Do not edit. -->\n\n"
MASKED = "-masked"
"""Ends the name of a technique's run on a masked model; the name alone is its run on a causal one."""
ABOUT = "about.md"
"""A text of one's own that stands before the table."""

Rows = Iterable[Sequence[str]]


def page(
    results: Sequence[RunRecord], known: Sequence[Technique], about: str = "", *, recipes: Sequence[Technique] = ()
) -> str:
    """The page: one table for each model, then controls, seeds, runs and definitions.

    `recipes` are those of the folder that are named after no technique; without a run they are listed as such.
    """
    parts = [NOTE + "# Evidence", about.strip()]
    counts = Counter((r.model.digest, r.model_label) for r in results)
    models = [model for model, _ in counts.most_common()]  # the one that most techniques were tried on comes first
    alike = Counter(label for _, label in models)
    run = {r.name for r in results}
    for number, (digest, label) in enumerate(models):
        chosen = [r for r in results if r.model.digest == digest]
        missing = [t for t in known if t.name not in run] if number == 0 else []
        others = [t for t in recipes if t.name not in run] if number == 0 else []
        named = label if alike[label] == 1 else f"{label} (weights {digest[:12]})"
        parts += _model(named, chosen, missing, others, known)
    if not models:
        absent = [*known, *recipes]
        parts += ["## No run is recorded", _table(("technique", ""), [(t.name, _not_run(t)) for t in absent])]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_page(folder: Path) -> Path:
    """Write `README.md` of a folder of evidence from its results, reasons and text."""
    from evenhand.cache import write_atomic

    path = folder / "README.md"
    write_atomic(path, made_page(folder))
    return path


def made_page(folder: Path) -> str:
    """The page of a folder of evidence. Raises UsageError for a file in it that cannot be read."""
    from evenhand.collecting import RESULTS, kept
    from evenhand.discovery import discover
    from evenhand.evidence_recipes import further_recipes
    from evenhand.techniques import read_not_run, techniques

    about = folder / ABOUT
    text = about.read_text(encoding="utf-8") if about.is_file() else ""
    known = techniques(discover(), read_not_run(folder))
    return page(kept(folder / RESULTS), known, text, recipes=further_recipes(folder, known))


def _model(
    label: str, results: Sequence[RunRecord], missing: Sequence[Technique], others: Sequence[Technique],
    known: Sequence[Technique],
) -> list[str]:  # fmt: skip
    stages = {t.name: t.stage for t in known}

    def order(name: str) -> tuple[int, str]:
        return _rank(stages.get(name.removesuffix(MASKED), "")), name

    results = sorted(results, key=lambda r: order(r.name))
    columns = _columns(results)
    bias = [c for c in columns if not c.quality]
    quality = [c for c in columns if c.quality]
    header = ["technique", "steps", *(_heading(c) for c in columns), "controls beaten", "seeds", "dose", "time"]
    rows = []
    for result in results:
        cells = [bias_cell(result, c) for c in bias] + [quality_cell(result, c) for c in quality]
        rest = [controls_cell(result), str(len(result.seeds) or 1), dose(result), time_cell(result)]
        older = f"\nof older data: {listing(names)}" if (names := stale(result, columns)) else ""
        rows.append([result.name + older, steps_cell(result), *cells, *rest])
    absent = [(t.name, t.stage, t.reason) for t in sorted([*missing, *others], key=lambda t: (_rank(t.stage), t.name))]
    untouched = ["untouched model", "", *(untouched_cell(results, c) for c in [*bias, *quality]), "", "", "", ""]
    levels = listing(list(dict.fromkeys(percent(r.confidence) for r in results)))
    return [
        f"## {label}",
        "### At a glance",
        f"{tally(results)} {', '.join(_sizes(results, missing, others))}.",
        _table(glance_header(columns), [glance_row(result, columns) for result in results]),
        LEGEND,
        *(["### Not run", _table(("technique", "stage", "reason"), absent)] if absent else []),
        "### Differences",
        f"Differences are paired by item, with intervals of {levels}: the value after minus the value before, or the "
        "change of the distance from the ideal value where there is one. The untouched model has its own values, for "
        "each definition that was in use. A training with one seed has no verdict.",
        _table(header, [untouched, *rows]),
        "### Against controls",
        "The run's difference from models that nobody meant to be fairer, on the same items. Only an interval on the "
        "better side counts as beaten.",
        _table(("technique", "control", "cost", "benchmark", "run minus control", "beaten"), control_rows(results)),
        "### Each seed",
        _table(("technique", "benchmark", "untouched", "after, by seed"), seed_rows(results)),
        "### What was run",
        _table(
            ("technique", "finished", "text", "updates", "by seed", "set by hand", "found in what was learnt",
             "artefact", "code", "machine", "recipe", "run.json"),
            run_rows(results),
        ),
        "### Definitions",
        _table(
            ("benchmark", "version", "definition", "items", "data (SHA-256)", "used by"),
            [definition(variant, used) for variant, used in _variants(results)],
        ),
    ]  # fmt: skip


def _sizes(results: Sequence[RunRecord], missing: Sequence[Technique], others: Sequence[Technique]) -> Iterator[str]:
    yield counted(len(results), "run")
    if missing:
        yield f"{counted(len(missing), 'technique')} not run"
    if others:
        yield f"{counted(len(others), 'other recipe')} without a run"


def _rank(stage: str) -> int:
    """Rows that are named after no technique come first: they are what others are compared with."""
    return STAGES.index(stage) + 1 if stage in STAGES else 0


def _not_run(technique: Technique) -> str:
    return f"not run: {technique.reason}"


def _columns(results: Sequence[RunRecord]) -> list[BenchmarkResult]:
    """The benchmarks of all results, each once, as the newest run defines it: of bias, then of language quality."""
    found: dict[str, BenchmarkResult] = {}
    for result in results:
        for benchmark in result.benchmarks:
            found.setdefault(benchmark.id, benchmark)
    for result in sorted(results, key=lambda r: str(r.finished)):
        found.update({benchmark.id: benchmark for benchmark in result.benchmarks})
    return sorted(found.values(), key=lambda b: b.quality)


def _heading(benchmark: BenchmarkResult) -> str:
    metric = benchmark.primary
    if metric is None:
        return benchmark.label
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{benchmark.label}: {metric.name}{unit}"


def _variants(results: Sequence[RunRecord]) -> list[tuple[BenchmarkResult, list[str]]]:
    """Every definition in use, with the runs that used it, when not all did."""
    found: dict[tuple[str, ...], tuple[BenchmarkResult, list[str]]] = {}
    for result in results:
        for b in result.benchmarks:
            found.setdefault((b.id, b.version, b.mode, b.data_digest), (b, []))[1].append(result.name)
    return [(b, [] if len(names) == len(results) else names) for b, names in found.values()]


def _table(header: Sequence[str], rows: Rows) -> str:
    lines = [header, ["---"] * len(header), *rows]
    if len(lines) == 2:
        return "None."
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|").replace("\n", "<br>")

"""What stands in the tables of many runs: one function a column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evenhand import report_wording as wording
from evenhand.report_numbers import DASH, bounds, decimals, duration, listing, moment, number, plain, tight
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult, Interval, MetricResult
from evenhand.report_verdicts import one_seed
from evenhand.verdict_text import BY_CONSTRUCTION

BEATEN = {"improved": "yes", "no demonstrated effect": "no", "worse": "no, the control is better"}
"""Verdict of a run against a control -> whether it was beaten; others are told as they are."""
ONE_SEED = "one seed, not judged"
"""What stands in the place of every verdict on a single training: its intervals know items, and no other draws."""
SHORT = 12
"""Digits of a digest that a table shows."""


def _of(result: RunRecord, column: BenchmarkResult) -> BenchmarkResult | None:
    return next((b for b in result.benchmarks if b.id == column.id), None)


def same_definition(found: BenchmarkResult, column: BenchmarkResult) -> bool:
    """Whether two results of a benchmark can be compared: equal rule, equal data."""
    return (found.version, found.mode, found.data_digest) == (column.version, column.mode, column.data_digest)


def stale(result: RunRecord, columns: Sequence[BenchmarkResult]) -> list[str]:
    """The benchmarks that a run measured by another definition than that of their columns."""
    return [c.label for c in columns if (found := _of(result, c)) and not same_definition(found, c)]


def _other_definition(found: BenchmarkResult, column: BenchmarkResult) -> str:
    """Numbers of two definitions do not belong into one column, and say so where they stand in one."""
    if same_definition(found, column):
        return ""
    return f"\nby another definition ({_data(found)}), not to be compared with this column"


def _data(found: BenchmarkResult) -> str:
    return f"data {found.data_digest[:SHORT]}" if found.data_digest else found.mode or "no data"


def judged(result: RunRecord, verdict: str) -> str:
    """The verdict of a run; of a training with one seed, that it is none."""
    return ONE_SEED if one_seed(result, verdict) else verdict


def _moved(metric: MetricResult) -> Interval:
    return metric.distance_change or metric.change


def _change(moved: Interval, places: int) -> str:
    return f"{number(moved.value, places, signed=True)} {bounds(moved, places, signed=True)}".strip()


def bias_cell(result: RunRecord, column: BenchmarkResult) -> str:
    """The change with its interval, the verdict and its reason, and how many items decided, where not all did."""
    found = _of(result, column)
    if found is None:
        return "not measured"
    metric = found.primary
    told = "" if metric is None else _change(_moved(metric), wording.metric_decimals(metric)) + "\n"
    verdict = judged(result, found.verdict or "no verdict")
    reason = f": {found.reason}" if found.reason and verdict != ONE_SEED else ""
    decided = f"\n{_decided(found)}" if found.in_lexicon and found.in_lexicon.n_other else ""
    return f"{told}{verdict}{reason}{decided}{_other_definition(found, column)}"


def _decided(found: BenchmarkResult) -> str:
    """How many items a verdict rests on: those without words that the steps worked with."""
    return f"{found.n_items:,} of {found.counts.items or found.n_items:,} items decide"


def quality_cell(result: RunRecord, column: BenchmarkResult) -> str:
    """A ratio above 1, or points, for what was lost, with the verdict."""
    found = _of(result, column)
    if found is None:
        return "not measured"
    part = next((p for p in (result.quality.parts if result.quality else []) if p.benchmark == found.id), None)
    metric = found.primary
    if part is not None and part.ratio is not None:
        told = f"ratio {number(part.ratio.value, 3)} {bounds(part.ratio, 3)}".strip()
    elif metric is not None:
        told = _change(_moved(metric), wording.metric_decimals(metric))
    else:
        told = DASH
    verdict = judged(result, (part.verdict if part is not None else found.verdict) or "no verdict")
    return f"{told}\n{verdict}{_other_definition(found, column)}"


def untouched_cell(results: Sequence[RunRecord], column: BenchmarkResult) -> str:
    """The value of the untouched model: one for each definition in use and each set of items that decides somewhere."""
    measured = [found for result in results if (found := _of(result, column)) and found.primary]
    several = len({found.n_items for found in measured}) > 1
    definitions = len({(found.version, found.mode, found.data_digest) for found in measured}) > 1
    told: dict[str, None] = {}
    for found in sorted(measured, key=lambda found: not same_definition(found, column)):
        metric = found.primary
        assert metric is not None
        places = decimals(metric.before)
        items = f", {found.n_items:,} items" if several else ""
        data = f", {_data(found)}" if definitions else ""
        told[f"{number(metric.before.value, places)} {bounds(metric.before, places)}".strip() + items + data] = None
    return "\n".join(told)


def steps_cell(result: RunRecord) -> str:
    """The steps in the order of the recipe, each with the options that the recipe gives it."""
    given = {step.get("id") or step.get("use"): step.get("options") or {} for step in result.recipe.get("steps", [])}
    return ", ".join(_with_options(wording.step_label(s), given.get(s.id, {})) for s in result.active_steps)


def _with_options(label: str, options: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key} = {_option(value)}" for key, value in options.items())
    return f"{label} [{told}]" if told else label


def _option(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_option, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def controls_cell(result: RunRecord) -> str:
    """For each control that ran, on how many bias benchmarks it was beaten; what did not run, with the reason."""
    lines = []
    for control in result.controls:
        if control.state != "run":
            lines.append(f"{control.id}: {control.state}, {control.reason}" if control.reason else control.id)
            continue
        counting = [c for c in control.benchmarks if c.verdict != BY_CONSTRUCTION]
        if any(judged(result, c.verdict) == ONE_SEED for c in counting):
            lines.append(f"{control.id}: {ONE_SEED}")
            continue
        lines.append(f"{control.id}: {sum(c.verdict == 'improved' for c in counting)} of {len(counting)}")
    return "\n".join(lines) or "none made"


def dose(result: RunRecord) -> str:
    """The tokens that were read in training with the first seed, and how far data steps changed the text."""
    tokens = sum(training.tokens for training in result.training)
    if not tokens:
        return "nothing trained"
    return "\n".join([f"{tokens:,} tokens", *_changed_rows(result)])


def _changed_rows(result: RunRecord) -> list[str]:
    """For each data step, the share of the rows behind it that are no rows of the text as it came, and what is gone."""
    lines = []
    for step in result.active_steps:
        for rows in step.rows:
            new, gone = rows.changed + rows.added, sum(rows.dropped.values())
            left = f", {_share(gone, rows.read)} left out" if gone else ""
            lines.append(f"{wording.step_label(step)}: {_share(new, rows.out)} of the rows new or changed{left}")
    data = result.data
    if not lines and data.rows is not None and data.rows_after not in (None, data.rows):
        lines.append(f"{data.rows:,} rows in, {data.rows_after:,} out")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}\u00a0%" if whole else "none"


def time_cell(result: RunRecord) -> str:
    """All of it, the controls apart, and what is left for one seed."""
    seeds = len(result.seeds) or 1
    own = result.seconds - result.control_seconds
    controls = f"\ncontrols {duration(result.control_seconds)}" if result.control_seconds else ""
    if any(control.reused for control in result.controls):
        controls += ", with the continued training of an earlier run"
    each = f"\na seed {duration(own / seeds)}" if seeds > 1 else ""
    return tight(f"run {duration(own)}{each}{controls}")


def control_rows(results: Sequence[RunRecord]) -> Iterator[Sequence[str]]:
    """One row for each bias benchmark on each control that ran."""
    for result in results:
        labels = {b.id: b.label for b in result.benchmarks}
        for control in result.controls:
            cost = DASH if control.cost is None else number(control.cost, 3)
            if control.tokens is not None:
                cost += f" ({control.tokens:,} tokens)"
            for found in control.benchmarks:
                metric = found.metric
                change = _change(_moved(metric), wording.metric_decimals(metric))
                verdict = judged(result, found.verdict)
                beaten = BEATEN.get(verdict, verdict)
                yield result.name, control.id, cost, labels.get(found.id, found.id), change, beaten


def seed_rows(results: Sequence[RunRecord]) -> Iterator[Sequence[str]]:
    """The decisive value of each benchmark with each seed."""
    for result in results:
        for benchmark in result.benchmarks:
            metric = benchmark.primary
            if metric is None or not metric.seeds:
                continue
            places = wording.metric_decimals(metric)
            after = ", ".join(f"{s.seed}: {number(s.after, places)}" for s in metric.seeds)
            yield result.name, benchmark.label, number(metric.before.value, places), after


def run_rows(results: Sequence[RunRecord]) -> Iterator[Sequence[str]]:
    """Where the numbers are from."""
    for result in results:
        seeds = [(s.seed, s.training) for s in result.seeds] or [(result.seed, result.training)]
        tokens = ", ".join(f"{seed}: {sum(t.tokens for t in training):,} tokens" for seed, training in seeds)
        code = [f"{d.name} {d.version} {d.code[:SHORT]}".rstrip() for d in result.distributions]
        environment = {k: plain(v) for k, v in result.environment.items()}
        machine = [environment[k] for k in ("accelerator", "processor") if environment.get(k)]
        machine += [f"{k} {environment[k]}" for k in ("threads", "torch", "transformers", "python") if k in environment]
        data = f"{result.data.source} {result.data.digest[:SHORT]}".strip() or "none"
        yield (
            result.name,
            moment(result.finished),
            data,
            f"{sum(t.steps for t in result.training):,}",
            tokens if result.training else "nothing trained",
            listing(result.overrides) or "nothing",
            _found_in_training(result),
            _artefacts(result),
            "\n".join(code),
            ", ".join(machine),
            result.recipe_digest[:SHORT] or DASH,
            result.run_sha256[:SHORT] or DASH,
        )


def _artefacts(result: RunRecord) -> str:
    """What the steps fitted or learnt beside the weights that a training moves, in bytes."""
    sizes = [step.artifact_bytes for step in result.steps if step.artifact_bytes is not None]
    return f"{sum(sizes):,} bytes" if sizes else DASH


def _found_in_training(result: RunRecord) -> str:
    """Items of the benchmarks that were found in what the run learnt from, word lists apart."""
    if result.contamination is None:
        return "not compared"
    lines = []
    for entry in result.contamination.benchmarks:
        if not entry.compared:
            lines.append(f"{entry.id}: not compared")
        elif hits := entry.exact.items + entry.n_gram.items + entry.template.items:
            lines.append(f"{entry.id}: {hits:,} of {entry.items:,}")
    return "\n".join(lines) or "none"


def definition(benchmark: BenchmarkResult, used: Sequence[str]) -> Sequence[str]:
    """How a benchmark was measured."""
    items = benchmark.counts.items or benchmark.n_items
    return (
        benchmark.label,
        benchmark.version or DASH,
        benchmark.mode or "the only one",
        f"{items:,}",
        benchmark.data_digest[:SHORT] or DASH,
        listing(list(used)) or "all runs",
    )

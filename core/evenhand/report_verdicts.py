"""What a run shows, in sentences that report and terminal share: headline, reasons, axes, items left out, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenhand.report_numbers import bounds, counted, decimals, listing, number
from evenhand.report_record import RunRecord
from evenhand.report_results import AxisResult, BenchmarkResult, MetricResult
from evenhand.report_wording import UNTESTED, metric_decimals
from evenhand.verdict_text import BY_CONSTRUCTION, p_value

NOT_JUDGED = frozenset({BY_CONSTRUCTION, "too few items", "no verdict", ""})
"""Verdicts that say themselves that nothing was judged."""


def did_it_help(run: RunRecord) -> str:
    """The verdict of the primary measure, on which the answer rests alone; then those of the other bias benchmarks.

    Before it, what of the run did not come to pass: a training that kept no budget.
    """
    return f"{_taken_back(run)} {_verdict(run)}".strip()


def _taken_back(run: RunRecord) -> str:
    """That trainings were undone, and how near they came; empty where none was."""
    undone = [t for t in run.training if t.taken_back]
    if not undone:
        return ""
    which = "The training was" if len(run.training) == 1 else f"The training {undone[0].id!r} was"
    if len(undone) > 1:
        which = f"The trainings {listing([repr(t.id) for t in undone])} were"
    near = [look.ratio for t in undone if t.watch for look in t.watch.looks if look.step and look.ratio is not None]
    budget = next(t.watch.budget for t in undone if t.watch)
    came = f", and the nearest moment came to {number(min(near), 4)} times" if near else ""
    return (
        f"{which} taken back: {budget:g} times the perplexity of retention text are allowed{came}. The model is as it "
        "was before."
    )


def _verdict(run: RunRecord) -> str:
    first = run.headline
    if first is None:
        return "Bias was not measured, so nothing can be said about whether it helped."
    metric = first.primary.name if first.primary else ""
    measure = f"the primary measure, {first.label}" + (f" ({metric})" if metric else "")
    because = f": {first.reason}" if first.reason else ""
    answers = {
        "improved": f"Bias as measured here fell on {measure}.",
        UNTESTED: f"Bias as measured here fell on {measure}, but controls that it must beat were not run{because}.",
        "worse": f"Bias as measured here grew on {measure}.",
        "no demonstrated effect": f"No improvement was demonstrated on {measure}{because}.",
        "too few items": f"There is no verdict on {measure}, which has too few items{because}.",
        BY_CONSTRUCTION: f"Nothing is shown about bias: all items of {measure}, use words that the steps themselves "
        "worked with, so that its change follows from how they are built.",
    }
    answer = answers.get(first.verdict, f"There is no verdict on {measure}.")
    if run.primary is None or not run.primary.declared:
        answer += " It is that of the first bias benchmark, since the recipe declares none."
    if first.verdict in answers and (alone := one_seed(run, first.verdict)):
        answer += f" {alone}"
    others = [b for b in run.bias_benchmarks if b is not first]
    if not others:
        return answer
    verdicts = dict.fromkeys(b.verdict for b in others)
    told = [f"{v or 'no verdict'} on {listing([b.label for b in others if b.verdict == v])}" for v in verdicts]
    return f"{answer} Secondary: {'; '.join(told)}."


def reasons(run: RunRecord) -> list[str]:
    """The verdict of each bias benchmark with its one reason."""
    told = [(b, f" ({ONE_SEED})" if one_seed(run, b.verdict) else "") for b in run.bias_benchmarks]
    return [f"{b.label}: {b.verdict}{alone}, {b.reason}" for b, alone in told if b.reason and b.verdict]


ONE_SEED = "one training seed"


def one_seed(run: RunRecord, verdict: str) -> str:
    """That a verdict on a training is one seed's; empty where several were trained, nothing was, or it judges
    nothing."""
    if not run.training or len(run.seeds) > 1 or verdict in NOT_JUDGED:
        return ""
    return f"This is the verdict of one training seed ({run.seed}): another seed may give another."


def p_shown(result: MetricResult | AxisResult) -> str:
    """The p-value of a change, the test it is from, and what is left of it after correction."""
    if result.p is None:
        return ""
    how = f" ({result.test})" if result.test else ""
    if result.p_adjusted is None or result.adjusted_by == "alone in its family":
        return f"{p_value(result.p)}{how}"
    return f"{p_value(result.p)}{how}; {result.adjusted_by.partition(',')[0]}: {p_value(result.p_adjusted)}"


@dataclass(frozen=True, kw_only=True)
class AxisRow:
    """The decisive metric on one axis, as text."""

    axis: str
    items: str
    before: str
    after: str
    change: str
    interval: str
    p: str
    margin: str
    state: str
    tone: str


def axis_rows(benchmark: BenchmarkResult) -> list[AxisRow]:
    """The axes of a benchmark. Where the metric has an ideal value, the change is that of the distance to it."""
    made = []
    for axis in benchmark.axes:
        change = axis.distance_change or axis.change
        places = decimals(change)
        made.append(
            AxisRow(
                axis=axis.axis,
                items=f"{axis.n_items:,}",
                before=number(axis.before.value, places),
                after=number(axis.after.value, places),
                change=number(change.value, places, signed=True),
                interval=bounds(change, places, signed=True) or "none",
                p="" if axis.p_adjusted is None else p_value(axis.p_adjusted),
                margin=number(axis.margin, places),
                state=axis.state,
                tone="bad" if axis.state.startswith("worse") else "neutral",
            )
        )
    return made


def axes(run: RunRecord) -> list[str]:
    """For each benchmark with axes, which became worse beyond the margin, which did not, and which are undecided."""
    lines = []
    for benchmark in run.bias_benchmarks:
        states = dict.fromkeys(sorted((a.state for a in benchmark.axes), key=lambda s: not s.startswith("worse")))
        told = [f"{s}: {listing([a.axis for a in benchmark.axes if a.state == s])}" for s in states]
        if told:
            lines.append(f"{benchmark.label}, {counted(len(benchmark.axes), 'axis', 'axes')}: {'; '.join(told)}")
    return lines


def left_out(run: RunRecord) -> list[str]:
    """For each benchmark, how many items did not count, and how many carry each flag, before and after."""
    lines = []
    for benchmark in [*run.bias_benchmarks, *run.quality_benchmarks]:
        found = benchmark.counts
        total = found.items or benchmark.n_items
        told = []
        if inside := benchmark.in_lexicon:
            what = "use words that the steps worked with"
            told.append(f"all {what}" if not inside.n_other else f"{inside.n_items:,} {what} and decide nothing")
        lost = f"{_both(found.without_value)} left out, without a value"
        told.append(lost if any(found.without_value) else "none left out")
        told += [f"{flag}: {_both(sides)}" for flag, sides in found.flags.items()]
        lines.append(f"{benchmark.label}, {counted(total, 'item')}: {'; '.join(told)}")
    return lines


def _both(sides: Sequence[int]) -> str:
    before, after = sides
    return f"{before:,}" if before == after else f"{before:,} before and {after:,} after"


def seed_lines(run: RunRecord) -> list[str]:
    """The decisive value after the training with each seed."""
    lines = []
    for benchmark in run.benchmarks:
        metric = benchmark.primary
        if metric is None or not metric.seeds:
            continue
        places = metric_decimals(metric)
        told = ", ".join(f"seed {s.seed}: {number(s.after, places)}" for s in metric.seeds)
        before = number(metric.before.value, places)
        lines.append(f"{benchmark.label}, {metric.name}: {before} before; after {told}")
    return lines

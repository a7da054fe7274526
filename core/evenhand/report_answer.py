"""What a reader asks first of a run, answered in words that report, model card and terminal share."""

from __future__ import annotations

from evenhand import report_unchanged as unchanged
from evenhand.control_steps import ON_REQUEST
from evenhand.report_cost import what_it_cost
from evenhand.report_numbers import counted, listing, number
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult
from evenhand.report_verdicts import did_it_help
from evenhand.report_wording import metric_decimals, what_was_done
from evenhand.verdict_text import BY_CONSTRUCTION


def answers(run: RunRecord) -> list[tuple[str, str]]:
    """Each question with its answer, the most pressing one first."""
    if run.unchanged:
        return unchanged.answers(run)
    return [
        ("Did it help?", did_it_help(run)),
        ("What did it cost?", what_it_cost(run)),
        ("Can it be believed?", grounds(run)),
        ("What was done?", what_was_done(run)),
    ]


def grounds(run: RunRecord) -> str:
    """What the answer about bias rests on: items, power, controls, and overlap with what was learnt from."""
    first = run.headline
    if first is None:
        return "There is nothing to believe: no bias benchmark was run."
    return " ".join(filter(None, [_items(first), _power(first), _controls(run, first), _overlap(run, first)]))


def _items(first: BenchmarkResult) -> str:
    if first.verdict == BY_CONSTRUCTION:
        return "Not as evidence about bias: that takes a benchmark with words that no step works with."
    groups = f" in {counted(first.n_clusters, 'independent group')}" if first.n_clusters else ""
    inside = first.in_lexicon.n_items if first.in_lexicon else 0
    beside = f"; {inside:,} with words that the steps worked with decide nothing" if inside else ""
    return f"It rests on {counted(first.n_items, 'item')}{groups}{beside}."


def _power(first: BenchmarkResult) -> str:
    metric = first.primary
    if metric is None or not metric.detectable or first.verdict == BY_CONSTRUCTION:
        return ""
    unit = f" {metric.unit}" if metric.unit else ""
    size = number(metric.detectable, metric_decimals(metric))
    return f"A change of less than {size}{unit} would often have been missed."


def _controls(run: RunRecord, first: BenchmarkResult) -> str:
    """Which controls were beaten on the primary measure, and which not; or why there are none."""
    beaten: list[str] = []
    others: list[str] = []
    for control in run.controls:
        for beside in control.benchmarks:
            if control.state == "run" and beside.id == first.id:
                (beaten if beside.verdict == "improved" else others).append(control.id)
    told = [f"The run is better than {listing(beaten)}"] if beaten else []
    told += [f"{'it' if told else 'The run'} was not shown to be better than {listing(others)}"] if others else []
    if told:
        return f"{'; '.join(told)} (controls)."
    for state, what in (("not run", "was run"), ("not applicable", "applies")):
        usual = [c for c in run.controls if c.state == state and c.id not in ON_REQUEST]
        if reasons := list(dict.fromkeys(c.reason for c in usual if c.reason)):
            return f"No control {what}: {'; '.join(reasons)}."
    return ""


def _overlap(run: RunRecord, first: BenchmarkResult) -> str:
    """Whether items of the primary measure stand in what the run learnt from."""
    record = run.contamination
    overlap = next((b for b in record.benchmarks if b.id == first.id), None) if record else None
    if record is None or record.setting == "off" or overlap is None or not overlap.compared:
        return "Whether its items occur in what the run learnt from was not checked."
    found = max(overlap.exact.items, overlap.n_gram.items, overlap.template.items)
    if found:
        verb = "occurs" if found == 1 else "occur"
        return f"{counted(found, 'item')} of {overlap.items:,} {verb} in what the run learnt from, and may be memory."
    return "None of its items occurs in what the run learnt from." if record.compared else ""

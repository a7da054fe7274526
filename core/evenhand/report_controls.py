"""The models that a run had to beat, in words that report, model card and terminal share."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.control_steps import CONTINUED
from evenhand.report_numbers import bounds, counted, listing, number
from evenhand.report_record import RunRecord
from evenhand.report_results import ControlRecord
from evenhand.report_wording import metric_decimals

NO_SWAP = f"{CONTINUED}, the no-swap control on the text as it was"
"""What continued training is to a run that changed its training text."""


def controls(run: RunRecord) -> list[str]:
    """What each model that the run had to beat was, and how the run stands beside it; those left out share a line."""
    lines = [_control(run, control) for control in run.controls if control.state == "run"]
    left_out: dict[str, list[str]] = {}
    for control in run.controls:
        if control.state != "run":
            why = f"{control.state}, {control.reason}" if control.reason else control.state
            left_out.setdefault(why, []).append(control.id)
    return lines + [f"{listing(names)}: {why}" for why, names in left_out.items()]


def swaps(run: RunRecord) -> bool:
    """Whether a step changed the training text, so that continued training is the control without that change."""
    rows = [record for step in run.steps if step.active for record in step.rows]
    return any(record.changed or record.added or record.dropped for record in rows)


def _control(run: RunRecord, control: ControlRecord) -> str:
    made = [_strength(run, control)] if control.strength is not None else []
    if control.tokens:
        own = f", {control.run_tokens:,} in the run" if control.run_tokens else ""
        made.append(counted(control.tokens, "token") + own)
    made += [f"cost ratio {number(control.cost, 3)}"] if control.cost is not None else []
    if control.reused:
        made.append(f"made by an earlier run with the same control{_seeds(run, control.reused)}")
    labels = {b.id: b.label for b in run.benchmarks}
    found = []
    for beside in control.benchmarks:
        metric = beside.metric
        change, places = metric.distance_change or metric.change, metric_decimals(metric)
        what = "distance to the ideal" if metric.distance_change else metric.name
        shown = number(change.value, places, signed=True)
        words = {"improved": "the run is better", "worse": "the run is worse"}.get(beside.verdict, beside.verdict)
        unit = f" {metric.unit}" if metric.unit else ""
        title, range_ = labels.get(beside.id, beside.id), bounds(change, places, signed=True)
        found.append(f"{title}: {words}, {what} {shown}{unit} {range_}")
    known = NO_SWAP if control.id == CONTINUED and swaps(run) else control.id
    name = f"{known} ({', '.join(made)})" if made else known
    return f"{name}: {'; '.join(found) or 'run'}"


def _strength(run: RunRecord, control: ControlRecord) -> str:
    """The strength of a degradation, and what the seeds of the run did to it."""
    assert control.strength is not None
    if len(run.seeds) < 2:
        return f"strength {control.strength:.4g}"
    if len(control.strengths) < 2:
        return f"strength {control.strength:.4g}, the same model for all seeds"
    ends = [f"{end(control.strengths):.4g}" for end in (min, max)]
    span = ends[0] if ends[0] == ends[1] else " to ".join(ends)
    return f"strength {span} with {len(control.strengths)} seeds"


def _seeds(run: RunRecord, some: Sequence[int]) -> str:
    """Which seeds; nothing for all of the run's."""
    if len(some) == max(1, len(run.seeds)):
        return ""
    return f" ({'seed' if len(some) == 1 else 'seeds'} {listing([str(seed) for seed in some])})"

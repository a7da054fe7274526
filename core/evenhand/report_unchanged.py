"""What a run shows in which no step changed the model: it measured, or looked at text, answers or insides.

Such a run has no before and after, and so no verdict, no cost and nothing to beat; what it found stands in their place.
"""

from __future__ import annotations

from evenhand import report_values as values
from evenhand.report_numbers import counted, listing, percent, plain
from evenhand.report_record import RunRecord
from evenhand.report_wording import direction, step_label
from evenhand.work_record import Step

FIRST_FACTS = 4
"""Facts of a section that the answer names; the section has them all."""


def heading(run: RunRecord) -> str:
    """What the page is about: the training text alone, or the model and what was done with it."""
    if run.only_looked and not run.benchmarks:
        return "What the training text holds"
    deeds = {_deed(step) for step in run.active_steps}
    done = ["measured"] if run.benchmarks else []
    done += [word for deed, word in (("monitoring", "watched"), ("transparency", "explained")) if deed in deeds]
    return f"{run.model_label}, {listing(done) or 'unchanged'}"


def answers(run: RunRecord) -> list[tuple[str, str]]:
    """Each question with its answer; those about an improvement and its cost have no place here."""
    told = [("What was measured?", measured(run))] if run.benchmarks else []
    found = " ".join([*read(run), *watched(run), *explained(run)])
    if found or not told:
        told.append(("What was found?", found or "Nothing: no benchmark was run, and no step looked at anything."))
    return [*told, ("What was done?", what_was_done(run))]


def measured(run: RunRecord) -> str:
    """The decisive value of each benchmark with its interval, and why it should not be believed where it should not."""
    told = []
    for benchmark in [*run.bias_benchmarks, *run.quality_benchmarks]:
        for row in values.rows(benchmark):
            if row.primary:
                told.append(
                    f"{benchmark.label}: {row.metric.name} {row.value} ({direction(row.metric)}), "
                    f"{percent(run.confidence)} interval {row.interval}."
                )
        told += [values.caution(benchmark)] if values.caution(benchmark) else []
    return " ".join(told)


def facts_read(step: Step) -> list[tuple[str, str]]:
    """What a step found in the training text that it read, each value with its label."""
    return [(label, plain(value)) for rows in step.rows for label, value in rows.facts.items()]


def read(run: RunRecord) -> list[str]:
    """A sentence for each step that read the training text."""
    told = []
    for step in run.active_steps:
        if step.rows:
            found = "; ".join(f"{label}: {value}" for label, value in facts_read(step))
            number = counted(sum(rows.read for rows in step.rows), "row")
            told.append(f"{step_label(step)} read {number}{': ' + found if found else ''}.")
    return told


def watched(run: RunRecord) -> list[str]:
    """A sentence for each finding of a monitor; one for all where they saw requests and found nothing."""
    seen = run.monitoring
    if seen is None or not run.served:
        return []
    if not seen.findings:
        return [f"The monitors saw {counted(seen.requests, 'request')} and found nothing to report."]
    return [f"{f.monitor}: {f.title}{f': {f.detail}' if f.detail else ''}." for f in seen.findings]


def explained(run: RunRecord) -> list[str]:
    """A sentence for each section of a step that explains and does nothing else, with its first facts."""
    explaining = {step.id for step in run.active_steps if _deed(step) == "transparency"}
    told = []
    for section in run.sections:
        if section.step in explaining:
            facts = "; ".join(f"{fact.label}: {plain(fact.value)}" for fact in section.facts[:FIRST_FACTS])
            told.append(f"{section.title}{': ' + facts if facts else ''}.")
    return told


def what_was_done(run: RunRecord) -> str:
    """That the model is as it was, and what each step did instead."""
    if not run.active_steps:
        alone = "this run is a measurement only" if run.benchmarks else "no benchmark measured it"
        return f"No step changed {run.model_label}: {alone}."
    intervened = any(sample.before != sample.after for sample in run.samples)
    words = {
        "data": "read the training text",
        "monitoring": f"watched its answers{' and changed some' if intervened else ''}",
        "transparency": "explained it",
    }
    doers: dict[str, list[str]] = {}
    for step in run.active_steps:
        doers.setdefault(_deed(step), []).append(step_label(step))
    told = [f"{listing(names)} {words[deed]}" for deed, names in doers.items()]
    return f"No step changed {run.model_label}: {listing(told)}."


def _deed(step: Step) -> str:
    """What a step does first of what such steps may do: `data`, which it reads, `monitoring` or `transparency`."""
    return next(stage for stage in ("data", "monitoring", "transparency") if stage in step.stages)


def limits(run: RunRecord) -> list[str]:
    """How the numbers are meant, and what they do not show."""
    if run.benchmarks:
        return list(values.how_to_read(run))
    said = ["No benchmark was run, so how biased the model is was not measured, and nothing here tells it."]
    if run.only_looked:
        said.append("A model need not take over what stands in a text: what it learns from it has to be measured.")
    return said

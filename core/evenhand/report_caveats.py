"""What a reader of a run must know: what is missing, how the numbers are meant, and what they do not show."""

from __future__ import annotations

from evenhand.report_numbers import listing, percent
from evenhand.report_record import RunRecord
from evenhand.report_search import search_words


def failed_parts(run: RunRecord) -> dict[tuple[str, str], list[str]]:
    """Step and stage -> the message of each fault; a monitor may fail at every request."""
    found: dict[tuple[str, str], list[str]] = {}
    for fault in run.faults:
        found.setdefault((fault.step, fault.stage), []).append(fault.message)
    return found


def missing(run: RunRecord) -> list[str]:
    """What a reader might expect and does not find, with the reason."""
    gaps = []
    if run.status == "failed":
        gaps.append("The run failed before its end: everything after the failure is missing.")
    elif run.status == "interrupted":
        gaps.append("The run was stopped before its end: everything after that is missing.")
    elif run.status == "running":
        gaps.append("The run has not ended: continue it with --resume; the numbers here are not final.")
    for (step, stage), messages in failed_parts(run).items():
        lost = {"monitoring": "its watch over the traffic", "transparency": "its section of the report"}.get(
            stage, "its part"
        )
        often = "" if len(messages) == 1 else f" {len(messages):,} times"
        first = "" if len(set(messages)) == 1 else ", first"
        gaps.append(f"{lost.capitalize()} ({step}, {stage}) is missing; it failed{often}{first} with: {messages[0]}")
    if run.unchanged:
        return gaps
    if not run.bias_benchmarks:
        gaps.append("No bias benchmark was run.")
    if run.quality is None:
        gaps.append("Language quality was not measured against a budget.")
    return gaps


def how_to_read(run: RunRecord) -> list[str]:
    """How the numbers are meant."""
    level = percent(run.confidence)
    return [
        f"Each change comes with its {level} interval, from resampling clusters of the same items before and "
        "after. An interval on one side of zero supports a change in that direction.",
        "\u201cImproved\u201d means more than that: every control that applies is beaten, the loss of language quality "
        "is shown to be within the budget, no axis became worse beyond its margin, and, for a benchmark that is not "
        "the primary one, the result stands a correction for the number of bias benchmarks.",
        "\u201cNo demonstrated effect\u201d comes with its reason. It does not mean that there is no effect: one below "
        "the detectable change named beside it (80 % power) would probably be missed.",
        "Where a metric has an ideal value, better means nearer to it, from either side.",
    ]


def limits(run: RunRecord) -> list[str]:
    """What the numbers do not show."""
    intervals = sum(len(b.metrics) for b in run.bias_benchmarks)
    said = [
        "A benchmark covers the groups, words and language that its items are written in, and nothing else. "
        "A better score does not make a model fair or safe.",
        "Not measured: other languages, other groups, harm in a real application, toxicity, and factual "
        "accuracy, except where a benchmark above names them.",
        _seeds(run),
        *search_words(run),
    ]
    if intervals > 1:
        said.insert(
            1,
            f"{intervals} intervals are shown. The more there are, the more likely one of them excludes zero "
            "by chance; the answer above rests on the primary measure alone. Corrected p-values: Holm over the bias "
            "benchmarks and over the axes of one, Benjamini-Hochberg over all other metrics, which only explore.",
        )
    if run.portable is False:
        said.append(
            "The numbers hold for the model with its steps in place (evenhand.load), not for the files in "
            "model/ under plain transformers."
        )
    return said


def _seeds(run: RunRecord) -> str:
    if len(run.seeds) < 2:
        return f"All numbers come from one run with one seed ({run.seed}); another seed gives others."
    seeds = listing([str(s.seed) for s in run.seeds])
    said = f"Values after are means over trainings with {len(run.seeds)} seeds ({seeds}); intervals hold their spread."
    return f"{said} The model that was kept has seed {run.seed}."

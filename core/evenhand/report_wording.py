"""Rows and sentences that report, model card and terminal share, so that all three say the same."""

from __future__ import annotations

from dataclasses import dataclass

from evenhand.report_numbers import bounds, counted, decimals, duration, listing, number, percent, plain, value_decimals
from evenhand.report_record import (
    BenchmarkResult,
    Interval,
    MetricResult,
    Quality,
    QualityPart,
    RunRecord,
    Step,
)
from evenhand.report_search import search_words

TONES = {
    "improved": "good",
    "within budget": "good",
    "worse": "bad",
    "over budget": "bad",
}
"""Verdict -> tone; all others are neutral."""

UNTESTED = "improved, controls not run"
"""The verdict of an improvement that nothing but the untouched model was compared with."""

STATES = {
    "data": "changes the training data",
    "training": "trains on everything before it",
    "architecture": "part of the model",
    "objective": "part of the training loss",
    "folded": "folded into ordinary weights, portable",
    "saved beside the model": "saved beside the model, load with evenhand",
    "decoding": "acts while text is generated, load with evenhand",
    "monitoring": "watches requests, changes nothing",
    "transparency": "explains, changes nothing",
    "inactive": "inactive, only referred to by another step",
}


def tone(verdict: str) -> str:
    """`good`, `bad` or `neutral`."""
    return TONES.get(verdict, "neutral")


def metric_decimals(metric: MetricResult) -> int:
    """Decimals for every number of one metric."""
    change = metric.change
    if not any((change.value, change.low, change.high)):  # nothing changed: the values themselves say how fine they are
        return max(2, value_decimals(metric.before.value, metric.after.value))
    return decimals(metric.distance_change or change, change)


def direction(metric: MetricResult) -> str:
    """What a better value is, in words."""
    if metric.better == "nearer":
        places = 0 if metric.target is None or float(metric.target).is_integer() else 2
        unit = f" {metric.unit}" if metric.unit else ""
        return f"ideal {number(metric.target, places)}{unit}"
    return f"{metric.better} is better"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric as text: what every table prints."""

    benchmark: BenchmarkResult
    metric: MetricResult
    primary: bool
    before: str
    after: str
    change: str
    interval: str
    distance: str
    """The change of the distance from the ideal value with its interval, where it differs from the change."""
    detectable: str
    """Empty too where no two resamples differed: nothing then says how small a change could have been found."""


def rows(benchmark: BenchmarkResult) -> list[Row]:
    """The metrics of a benchmark, the primary one first."""
    made = []
    for metric in benchmark.ordered:
        places = metric_decimals(metric)
        change = number(metric.change.value, places, signed=True)
        interval = bounds(metric.change, places, signed=True)
        distance = ""
        if (moved := metric.distance_change) is not None:
            distance = f"{number(moved.value, places, signed=True)} {bounds(moved, places, signed=True)}".strip()
        made.append(
            Row(
                benchmark=benchmark,
                metric=metric,
                primary=metric is benchmark.primary,
                before=number(metric.before.value, places),
                after=number(metric.after.value, places),
                change=change,
                interval=interval,
                distance="" if distance == f"{change} {interval}".strip() else distance,
                detectable=number(metric.detectable, places) if metric.detectable else "",
            )
        )
    return made


def step_label(step: Step) -> str:
    """The plugin, and the step's id where that says more."""
    return step.use if step.use in (step.id, "") or not step.id else f"{step.use} ({step.id})"


def proof_expected(step: Step) -> bool:
    """True for a step whose effect can be proved; the built-in training and explanations state none."""
    provable = {"data", "objective", "architecture", "decoding", "monitoring"}
    return step.active and not provable.isdisjoint(step.stages)


def what_was_done(run: RunRecord) -> str:
    """One sentence: the model, the steps, the training."""
    active = run.active_steps
    if not active:
        return f"No step changed {run.model_label}: this run is a measurement only."
    names = listing([step_label(s) for s in active])
    done = f"{run.model_label} went through {counted(len(active), 'step')}: {names}."
    if run.training:
        moved = sum(t.steps for t in run.training)
        tokens = sum(t.tokens for t in run.training)
        done += f" Training took {counted(moved, 'update')} on {counted(tokens, 'token')} of text."
    return done


def time_taken(run: RunRecord) -> str:
    """How long the run took, and how much of it went into controls."""
    controls = f", {duration(run.control_seconds)} of it for controls" if run.control_seconds else ""
    return duration(run.seconds) + controls


def what_it_cost(run: RunRecord) -> str:
    """One sentence or more: each measure of language quality against what it may lose, and time."""
    time = f"The whole run took {time_taken(run)}." if run.seconds else ""
    quality = run.quality
    told = [] if quality is None else [*_by_ratio(run, quality), *(_by_points(run, p) for p in quality.further)]
    if quality is None or not told:
        return f"Language quality was not measured, so its cost is unknown. {time}".strip()
    if len(told) > 1:
        told.append(f"Together: {quality.verdict}.")
    return " ".join([*told, time]).strip()


def _by_ratio(run: RunRecord, quality: Quality) -> list[str]:
    if quality.ratio.value is None:
        return []
    worse_by = 100 * (quality.ratio.value - 1)
    places = max(1, decimals(_as_percent(quality.ratio)))
    size = number(abs(worse_by), places)
    if not size.strip("0."):
        moved = "did not change"
    else:
        up, down = ("became worse", "became better")
        if run.quality_direction == "lower":
            up, down = "rose", "fell"
        moved = f"{up if worse_by > 0 else down} by {size} %"
    shift = _as_percent(quality.ratio)
    interval = ""
    if shift.low is not None and shift.high is not None:
        interval = (
            f" ({percent(run.confidence)} interval {number(shift.low, places, signed=True)} % to "
            f"{number(shift.high, places, signed=True)} %)"
        )
    allowed = number(100 * (quality.budget - 1), 1)
    metric = quality.metric or "perplexity"
    return [
        f"{metric[0].upper()}{metric[1:]}, the measure of language quality, {moved}{interval}; "
        f"the recipe allows +{allowed} %: {quality.ratio_verdict}."
    ]


def _by_points(run: RunRecord, part: QualityPart) -> str:
    label = next((b.label for b in run.benchmarks if b.id == part.benchmark), part.benchmark)
    if part.loss is None or part.loss.value is None:
        return f"{label}: {part.verdict}."
    loss, lost, places = part.loss, part.loss.value, max(1, decimals(part.loss))
    unit = {"%": " percentage points", "": ""}.get(part.unit, f" {part.unit}")
    moved = "lost" if lost >= 0 else "gained"
    interval = f" (loss, {percent(run.confidence)} interval: {bounds(loss, places, signed=True)})"
    return (
        f"{label} ({part.metric}) {moved} {number(abs(lost), places)}{unit}{interval}; "
        f"a loss of {number(loss.margin, 1)} is allowed: {part.verdict}."
    )


def _as_percent(ratio: Interval) -> Interval:
    def shift(value: float | None) -> float | None:
        return None if value is None else 100 * (value - 1)

    return Interval(value=shift(ratio.value), low=shift(ratio.low), high=shift(ratio.high))


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
    elif run.status == "running":
        gaps.append("The run has not ended: continue it with --resume; the numbers here are not final.")
    for (step, stage), messages in failed_parts(run).items():
        lost = {"monitoring": "its watch over the traffic", "transparency": "its section of the report"}.get(
            stage, "its part"
        )
        often = "" if len(messages) == 1 else f" {len(messages):,} times"
        first = "" if len(set(messages)) == 1 else ", first"
        gaps.append(f"{lost.capitalize()} ({step}, {stage}) is missing; it failed{often}{first} with: {messages[0]}")
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


def _baseline(run: RunRecord) -> str:
    """Which scores of the untouched model were taken from an earlier run; empty where none were."""
    if not run.baseline.reused:
        return ""
    new = f"; measured in this run: {listing(run.baseline.measured)}" if run.baseline.measured else ""
    return f"taken from an earlier run of the same model, items and code: {listing(run.baseline.reused)}{new}"


def provenance(run: RunRecord) -> list[tuple[str, str]]:
    """Everything needed to know what was measured, and to measure it again."""
    model, data = run.model, run.data
    adds = {True: "yes", False: "no", None: "not recorded"}[model.adds_bos]
    environment = {k: plain(v) for k, v in run.environment.items()}
    versions = [f"{k} {environment.pop(k)}" for k in ("python", "torch", "transformers") if k in environment]
    machine = [f"{k}: {v}" for k, v in environment.items()]
    facts = [
        ("Model", run.model_label),
        ("Model source", model.source),
        ("How the model was made", str(model.origin.get("made") or "")),
        ("Model licence", model.licence),
        ("Model digest (SHA-256)", model.digest),
        ("Model size", f"{model.parameters:,} parameters" if model.parameters else ""),
        ("Number format", model.dtype),
        ("Tokenizer fingerprint", model.tokenizer_fingerprint),
        ("Beginning-of-sequence token added", adds),
        ("Training data", data.source),
        ("Training data licence", data.licence),
        ("Training data rows", _data_rows(data.rows, data.rows_after)),
        ("Training data digest (SHA-256)", data.digest),
        ("Saved model", _loaded_again(run)),
        ("Scores of the untouched model", _baseline(run)),
        ("Seed", str(run.seed)),
        ("Overrides", listing(run.overrides) or "none"),
        ("evenhand", run.evenhand),
        ("Versions", ", ".join(versions)),
        ("Machine", ", ".join(machine)),
        ("Started", run.started),
        ("Finished", run.finished),
        ("Status", run.status),
        ("Attempts", str(run.attempts) if run.attempts > 1 else ""),
    ]
    return [(label, value) for label, value in facts if value]


def _loaded_again(run: RunRecord) -> str:
    shown = run.portability
    if shown is None or shown.largest_difference is None:
        return ""
    said = f"loaded again at the end of the run: logits differ by {shown.largest_difference:.2g} at most"
    return said + (f", {shown.answers} answers are the same" if shown.answers else "")


def _data_rows(rows: int | None, after: int | None) -> str:
    if rows is None:
        return ""
    return f"{rows:,}" if after is None or after == rows else f"{rows:,}; {after:,} after the data steps"

"""Which measurements may be compared: equal definitions, data and items, and numbers that mean the same for both.

Two runs are compared as what was made of one model, so they must have begun with the same one. Evaluations may be of
different models. Where these have different tokenizers, a number per token means another thing for each, and is left
out; numbers per word, per byte, per item or of whole texts stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evenhand import compared_seeds
from evenhand.contributions import ItemRecord
from evenhand.errors import UsageError
from evenhand.report_numbers import counted, listing, plain
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult, MetricResult

NO_VERDICT = "not comparable"
"""In place of a verdict where the metric that it rests on is per token, and the tokenizers differ."""
OTHER_FORMAT = "number formats differ"
"""In place of a verdict where the scores of A were computed in another number format than those of B."""


def demand_alike(
    folder_a: Path,
    folder_b: Path,
    a: RunRecord,
    b: RunRecord,
    shared: Sequence[tuple[BenchmarkResult, BenchmarkResult]],
) -> None:
    """Raises UsageError with every difference that forbids a comparison; `shared` are the benchmarks of both."""
    runs = a.kind == b.kind == "run"
    noun = "runs" if runs else "measurements"
    pairs: list[tuple[str, Any, Any]] = []
    if runs:
        pairs += [
            ("digest of the base model", a.model.digest, b.model.digest),
            ("tokenizer fingerprint", a.model.tokenizer_fingerprint, b.model.tokenizer_fingerprint),
            ("beginning-of-sequence token added", a.model.adds_bos, b.model.adds_bos),
        ]
    for x, y in shared:
        options = _differing_options(a, b, x.id) if x.data_digest != y.data_digest or x.mode != y.mode else []
        pairs += options
        pairs += [(f"{x.id}: definition", x.mode, y.mode), (f"{x.id}: version", x.version, y.version)]
        if not options:
            pairs.append((f"{x.id}: data digest", x.data_digest, y.data_digest))
    differing = [
        f"{what}: {plain(left) or 'none'} in A, {plain(right) or 'none'} in B"
        for what, left, right in pairs
        if left != right
    ]
    where = f"A {folder_a}, B {folder_b}"
    if differing:
        raise UsageError(
            f"these {noun} cannot be compared",
            where=where,
            known="\n  ".join(differing),
            do="compare runs of the same model on the same benchmark data"
            if runs
            else "measure both models by the same benchmark options and data",
        )
    if not shared:
        unfinished = _unfinished(a, b)
        if unfinished:
            raise UsageError(
                f"there is nothing to compare yet: {listing(unfinished)}",
                where=where,
                do=_how_to_finish(a, b),
            )
        raise UsageError(
            f"these {noun} have no benchmark in common",
            where=where,
            known=f"A ran {listing([x.id for x in a.benchmarks]) or 'none'}, "
            f"B ran {listing([y.id for y in b.benchmarks]) or 'none'}",
            do="run both recipes with at least one equal [[benchmarks]] entry"
            if runs
            else "measure both models by at least one equal benchmark",
        )


def _differing_options(a: RunRecord, b: RunRecord, identity: str) -> list[tuple[str, Any, Any]]:
    """The options of a benchmark that one recipe sets otherwise than the other, and what decides its items besides."""
    one, other = (_settings_of(run, identity) for run in (a, b))
    return [
        (f"{identity}: option {name}", _shown(one.get(name)), _shown(other.get(name)))
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
    ]


def _settings_of(run: RunRecord, identity: str) -> Mapping[str, Any]:
    entries = run.recipe.get("benchmarks")
    found = [e for e in entries if e.get("id") == identity] if isinstance(entries, list) else []
    options = found[0].get("options") if found else None
    return options if isinstance(options, dict) else {}


def _shown(value: Any) -> str:
    return "the default" if value is None else str(value)


def _unfinished(a: RunRecord, b: RunRecord) -> list[str]:
    """Which of the two did not come to its end, in words."""
    return [f"{letter} {run.ending}" for letter, run in (("A", a), ("B", b)) if run.status != "complete"]


def _how_to_finish(a: RunRecord, b: RunRecord) -> str:
    """What to do about those that did not come to their end: an evaluation cannot be continued."""
    kinds = {run.kind for run in (a, b) if run.status != "complete"}
    ways = ["continue a run with `toolkit run RECIPE --resume`"] if kinds != {"evaluation"} else []
    ways += ["measure a model again with `toolkit eval`"] if "evaluation" in kinds else []
    return f"{listing(ways)}, and compare when both are complete"


def demand_same_items(identity: str, before: Sequence[ItemRecord], after: Sequence[ItemRecord]) -> None:
    """Raises UsageError unless both sides scored the same items."""
    left, right = {r.id for r in before}, {r.id for r in after}
    if left != right:
        raise UsageError(
            f"{identity}: the runs scored different items",
            known=f"{counted(len(left & right), 'item')} in both, {len(left - right):,} only in A, "
            f"{len(right - left):,} only in B",
            do="run both with the same benchmark options",
        )


def tokenizers_differ(a: RunRecord, b: RunRecord) -> bool:
    """Whether the models split text differently; with unknown fingerprints, whether they are different models."""
    one, other = a.model.tokenizer_fingerprint, b.model.tokenizer_fingerprint
    return one != other if one and other else a.model.digest != b.model.digest


def per_token(a: RunRecord, b: RunRecord, shared: Sequence[BenchmarkResult]) -> dict[str, list[str]]:
    """By benchmark, the metrics that cannot be compared because they are per token and the tokenizers differ.

    Raises UsageError when no metric is left.
    """
    if not tokenizers_differ(a, b):
        return {}
    found = {x.id: [m.name for m in x.metrics if _is_per_token(m)] for x in shared}
    if all(len(found[x.id]) == len(x.metrics) for x in shared):
        raise UsageError(
            "these models cannot be compared by these benchmarks",
            where=f"A {a.model_label}, B {b.model_label}",
            known="their tokenizers differ, and every metric is per token: "
            + "; ".join(f"{name}: {listing(names)}" for name, names in found.items()),
            do="measure both by a benchmark with numbers per word, per item or of whole texts",
        )
    return {name: names for name, names in found.items() if names}


def _is_per_token(metric: MetricResult) -> bool:
    """Records of older versions say it by the unit alone."""
    return bool(metric.definition.get("per_token", "per token" in metric.unit))


def without_verdict(result: BenchmarkResult) -> BenchmarkResult:
    """The result of the metrics that are left when the one that a verdict rests on is not comparable."""
    metrics = [m.model_copy(update={"primary": False}) for m in result.metrics]
    text = "There is no verdict: the metric that it would rest on is per token, and the tokenizers differ."
    return result.model_copy(update={"metrics": metrics, "verdict": NO_VERDICT, "verdict_text": text})


def number_format(result: BenchmarkResult) -> str:
    """What the scores were computed in, which `scoring.describe_mode` ends with; empty where it was not recorded."""
    return result.scoring.rpartition(", ")[2]


def formats_differ(x: BenchmarkResult, y: BenchmarkResult) -> bool:
    """Whether a difference between the scores may be one of rounding: it moves all items of a model one way."""
    return bool(x.scoring and y.scoring) and number_format(x) != number_format(y)


def of_other_format(result: BenchmarkResult, y: BenchmarkResult) -> BenchmarkResult:
    """The result without a verdict: a model differs from itself, too, when its scores are rounded otherwise."""
    formats = f"{number_format(result)} in A, {number_format(y)} in B"
    text = f"There is no verdict: the scores were computed in different number formats ({formats})."
    return result.model_copy(update={"verdict": OTHER_FORMAT, "verdict_text": text})


def notes(
    a: RunRecord, b: RunRecord, shared: Sequence[BenchmarkResult], left_out: Mapping[str, Sequence[str]]
) -> list[str]:
    """Differences that do not forbid a comparison, but may explain a part of it, and what was left out."""
    said = _unfinished(a, b)
    if left_out:
        said.append(
            "the tokenizers differ: what is left also depends on how each model splits a text; "
            "left out, because per token: " + "; ".join(f"{name}: {listing(ms)}" for name, ms in left_out.items())
        )
    elif tokenizers_differ(a, b):
        said.append("the tokenizers differ: the numbers also depend on how each model splits a text")
    pairs: list[tuple[str, Any, Any]] = [
        ("number format of the weights", a.model.dtype, b.model.dtype),
        ("seed", a.seed, b.seed),
        ("training data", a.data.digest or a.data.source, b.data.digest or b.data.source),
        *(
            (k, a.environment.get(k), b.environment.get(k))
            for k in ("torch", "transformers", "processor", "accelerator")
        ),
    ]
    others = {y.id: y for y in b.benchmarks}
    ways = dict.fromkeys((x.scoring, others[x.id].scoring) for x in shared if x.scoring and others[x.id].scoring)
    pairs += [("scoring", *way) for way in ways]
    if not a.kind == b.kind == "run":
        pairs = [p for p in pairs if p[0] != "training data"]
        pairs.insert(0, ("beginning-of-sequence token added", a.model.adds_bos, b.model.adds_bos))
    if any(formats_differ(x, others[x.id]) for x in shared):
        said.append(
            "there is no verdict where the scores were computed in different number formats: even one model differs "
            "from itself then; measure both with `--dtype float32`, or run both with "
            "`--set model.dtype=float32`"
        )
    said += compared_seeds.notes(a, b)
    return said + [f"{what} differs: {plain(x)} in A, {plain(y)} in B" for what, x, y in pairs if x != y]

"""The first table of the evidence page: the verdict of each technique on each benchmark, in a word."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand.evidence_cells import ONE_SEED, judged
from evenhand.report_numbers import DASH, counted
from evenhand.report_record import RunRecord
from evenhand.report_results import BenchmarkResult
from evenhand.verdict_text import BY_CONSTRUCTION

LEGEND = (
    "The verdicts alone. *none* is no demonstrated effect; in brackets, what an improvement over the untouched model "
    "fell short of: *controls* do as much, the cost in language *quality* is not shown to be within budget, it did not "
    "stand the *correction* for several results, the model was not shown to do the *task*, or an*other* axis became "
    "worse. *by construction* asks "
    "with the very words that the steps worked with."
)
SHORT = {BY_CONSTRUCTION: "by construction", ONE_SEED: "one seed", "no demonstrated effect": "none"}
VERDICTS = ("improved", "worse", SHORT["no demonstrated effect"])
"""How the words begin that judge."""
SHORTFALLS = {
    "not beyond": "controls", "the cost": "quality", "language quality": "quality", "not after": "correction",
    "the model was not shown": "task",
}  # fmt: skip
"""How the reason of `judging` begins behind "improved, but" -> what stands in brackets."""


def header(columns: Sequence[BenchmarkResult]) -> list[str]:
    """The benchmarks of bias, and language quality as a whole."""
    return ["technique", *(c.label for c in columns if not c.quality), "language quality"]


def tally(results: Sequence[RunRecord]) -> str:
    """In a sentence: how many runs improved or worsened anything, of those whose verdicts count."""
    words = [[_word(r, b) for b in r.benchmarks if not b.quality] for r in results]
    judged_runs = [found for found in words if any(word.startswith(VERDICTS) for word in found)]
    better, worse = (sum(verdict in found for found in judged_runs) for verdict in ("improved", "worse"))
    return (
        f"Of {counted(len(judged_runs), 'run')} with verdicts, {better} improved at least one benchmark beyond every "
        f"control that applies, and {worse} made at least one worse."
    )


def glance_row(result: RunRecord, columns: Sequence[BenchmarkResult]) -> list[str]:
    """One word for each benchmark that the run measured."""
    found = {b.id: b for b in result.benchmarks}
    cells = [_word(result, found[c.id]) if c.id in found else DASH for c in columns if not c.quality]
    quality = result.quality.verdict if result.quality else ""
    word = judged(result, quality) if quality else DASH
    return [result.name, *cells, SHORT.get(word, word)]


def _word(result: RunRecord, benchmark: BenchmarkResult) -> str:
    verdict = judged(result, benchmark.verdict or "no verdict")
    word = SHORT.get(verdict, verdict)
    reached, _, why = benchmark.reason.partition("improved, but ")
    if word == "none" and not reached and why:
        return f"none ({next((short for start, short in SHORTFALLS.items() if why.startswith(start)), 'other')})"
    return word

"""The one measure that a recipe declares before the run, and that the headline rests on alone.

`[evaluation] primary = "BENCHMARK"` or `"BENCHMARK.METRIC"`; without it the decisive metric of the first bias
benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evenhand.errors import RecipeError
from evenhand.near_match import did_you_mean

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark
    from evenhand.recipe import ResolvedStep

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]

PLACE = "evaluation.primary"


def primary_problems(primary: str | None, ids: Sequence[str]) -> list[str]:
    """What can be said against a declaration before any benchmark is made; `ids` are those of `[[benchmarks]]`."""
    if primary is None:
        return []
    name = primary.partition(".")[0]
    if any(name == i or name.startswith(f"{i}-") for i in ids):
        return []  # an entry that gives several benchmarks names them ID-NAME
    return [f"{PLACE}: no benchmark {name!r}{did_you_mean(name, ids)} (benchmarks: {', '.join(ids) or 'none'})"]


def declared(
    benchmarks: Benchmarks, primary: str | None, *, origin: str
) -> tuple[dict[str, tuple[ResolvedStep, Benchmark]], dict[str, Any] | None]:
    """The benchmarks, the declared metric decisive in its own; and the `primary` entry of `run.json`.

    None where there is no bias benchmark. Raises RecipeError for a benchmark or a metric that is not there, and for a
    measure of language quality.
    """
    found = dict(benchmarks)
    bias = [name for name, (_, b) in found.items() if not b.quality]
    if primary is None:
        first = {"benchmark": bias[0], "metric": _decisive(found[bias[0]][1]), "declared": False} if bias else None
        return found, first
    name, _, metric = primary.partition(".")
    if name not in found:
        near = did_you_mean(name, list(found))
        raise RecipeError([f"{PLACE}: no benchmark {name!r}{near} (benchmarks: {', '.join(found)})"], where=origin)
    step, benchmark = found[name]
    if benchmark.quality:
        what = f"{name!r} measures language quality, which is held against the budget; name a bias benchmark"
        raise RecipeError([f"{PLACE}: {what} ({', '.join(bias) or 'there is none'})"], where=origin)
    if metric:
        names = [m.name for m in benchmark.metrics]
        if metric not in names:
            near = did_you_mean(metric, names)
            raise RecipeError(
                [f"{PLACE}: {name!r} has no metric {metric!r}{near} (metrics: {', '.join(names)})"], where=origin
            )
        metrics = [replace(m, primary=m.name == metric) for m in benchmark.metrics]
        found[name] = step, replace(benchmark, metrics=metrics)
    return found, {"benchmark": name, "metric": _decisive(found[name][1]), "declared": True}


def _decisive(benchmark: Benchmark) -> str:
    from evenhand.result_entries import primary_of

    return primary_of(benchmark).name if benchmark.metrics else ""

"""Published values that a recipe expects, and whether the run found them: `[[expect]]`.

A reproduction is a recipe without steps, the published figure beside its benchmark, and the tolerance within which it
counts as found again. What was found is told either way; a run does not fail over it unless `--strict` is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Benchmark
from evenhand.errors import NotReproduced, RecipeError
from evenhand.near_match import did_you_mean

if TYPE_CHECKING:
    from evenhand.recipe_model import Expectation, Recipe

REPRODUCED, NOT_REPRODUCED, NOT_MEASURED = "reproduced", "not reproduced", "not measured"


def demand_metrics(recipe: Recipe, benchmarks: Mapping[str, Benchmark]) -> None:
    """Refuse, before anything is measured, expectations of benchmarks or metrics that there are not: RecipeError."""
    problems = []
    for position, expected in enumerate(recipe.expect, 1):
        place = f"expect[{position}]"
        benchmark = benchmarks.get(expected.benchmark)
        if benchmark is None:
            near = did_you_mean(expected.benchmark, list(benchmarks))
            problems.append(
                f"{place}.benchmark: no benchmark of this run is called {expected.benchmark!r}{near} "
                f"(there is {', '.join(benchmarks)})"
            )
            continue
        names = [metric.name for metric in benchmark.metrics]
        if expected.metric not in names:
            near = did_you_mean(expected.metric, names)
            what = f"{expected.benchmark} has no metric {expected.metric!r}{near}"
            problems.append(f"{place}.metric: {what} (it has {', '.join(names)})")
    if problems:
        raise RecipeError(problems, where=recipe.origin)


def judge(expected: Sequence[Expectation], benchmarks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The `expectations` of run.json: each with the value that was found, its interval, and a verdict.

    `benchmarks` are the entries of run.json. A value that is undefined, or of a benchmark that did not come to its
    end, is not measured.
    """
    values = {(b["id"], m["name"], when): m[when] for b in benchmarks for m in b["metrics"] for when in _SIDES}
    units = {(b["id"], m["name"]): m["unit"] for b in benchmarks for m in b["metrics"]}
    judged = []
    for one in expected:
        found = values.get((one.benchmark, one.metric, one.when)) or dict.fromkeys(("value", "low", "high"))
        value = found["value"]
        if value is None:
            verdict = NOT_MEASURED
        else:
            # A difference of exactly the tolerance counts, whatever the last bit of the subtraction is.
            verdict = REPRODUCED if abs(value - one.value) <= one.tolerance * (1 + 1e-9) else NOT_REPRODUCED
        judged.append(
            {
                **one.model_dump(mode="json"),
                "unit": units.get((one.benchmark, one.metric), ""),
                "found": dict(found),
                "verdict": verdict,
            }
        )
    return judged


_SIDES = ("before", "after")


def demand_reproduced(judged: Sequence[Mapping[str, Any]], *, where: str) -> None:
    """With `--strict`: NotReproduced for the first published value that was not found again."""
    failed = [one for one in judged if one["verdict"] != REPRODUCED]
    if failed:
        first = failed[0]
        found = first["found"]["value"]
        raise NotReproduced(
            f"{len(failed)} of {len(judged)} expected values were not reproduced",
            where=where,
            known=f"{first['benchmark']}, {first['metric']}: expected {first['value']:g} +/- {first['tolerance']:g}, "
            f"found {'no value' if found is None else f'{found:.4g}'}",
            do="the report shows all of them; look at the model's revision, the mode and the data first",
        )

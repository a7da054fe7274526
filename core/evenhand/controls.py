"""Which controls a run needs, and what they show beside the run itself.

An "improved" against the untouched model alone may be the training alone, or the price of a worse model. What the
controls make of a verdict is decided in `judging`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from evenhand.continued_training import ContinuedTraining
from evenhand.control_runs import Control, Untouched, degraded, log_cost
from evenhand.control_steps import CONTINUED, DEGRADATION, ON_REQUEST, REQUIRED, own_controls
from evenhand.errors import EvenhandError
from evenhand.kept_controls import trained_once
from evenhand.kept_records import each_once, once
from evenhand.manifest import CONTROL
from evenhand.parking import parked
from evenhand.run_folders import STATE
from evenhand.strength_search import MATCHED

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.life import Life
    from evenhand.plan import Plan
    from evenhand.recipe import ResolvedStep

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]
    Records = Mapping[str, Sequence[ItemRecord]]


def run_controls(
    life: Life, work: Plan, benchmarks: Benchmarks, before: Records, claims: Sequence[str]
) -> list[Control]:
    """Makes and measures the controls of the recipe; those that do not apply, or are of no use, say so.

    `claims` are the benchmarks whose improvement nothing but a control can contradict (`judging.claims`); without one,
    a run that chooses its controls itself makes none. An error of the toolkit or of a plugin ends that control alone,
    and is its reason.
    """
    automatic = life.recipe.evaluation.controls == "auto"
    needed = [s for s in work.controls if (claims or not automatic) and not _needless(life, s.id)]
    found = [Control(id=s.id, state="not run", reason=_unclaimed(life)) for s in work.controls if s not in needed]
    with parked(life.loaded.model, life.folder / STATE / "controls") if needed else contextlib.nullcontext():
        for step in needed:
            try:
                found.append(_one(life, work, step, benchmarks, before))
            except EvenhandError as error:
                found.append(Control(id=step.id, state="not run", reason=" ".join(str(error).split())))
    order = [s.id for s in work.controls]
    found.sort(key=lambda control: order.index(control.id))
    own = [name.rpartition(":")[2] for name in own_controls(work.steps)]
    usual = list(dict.fromkeys((CONTINUED, *DEGRADATION, *own, *ON_REQUEST)))
    if life.recipe.evaluation.controls != "none":
        missing = [name for name in usual if name not in {c.id for c in found}]
        absent = "no plugin of this name is installed" if automatic else "the recipe does not name it"
        for name in missing:
            why = "it is made only where a recipe names it" if automatic and name in ON_REQUEST else absent
            found.append(Control(id=name, state="not run", reason=why))
    else:
        why = "the recipe switches controls off"
        found = [Control(id=name, state="not run", reason=why) for name in usual]
    for control in found:
        control.required = control.id in (CONTINUED, *REQUIRED, *own)
    return [_applicable(life, control) for control in found]


def _unclaimed(life: Life) -> str:
    """Why there is nothing that a control could test."""
    if any(e["verdict"] == "improved" for e in life.manifest["benchmarks"] if not e["quality"]):
        return "what improved fails for another reason already, so there is no claim to test"
    return "no benchmark improved, so there is no claim to test"


def _applicable(life: Life, control: Control) -> Control:
    """Also a control that did not run may be one that does not apply."""
    if control.state == "run":
        return control
    reason = _needless(life, control.id)
    return replace(control, state="not applicable", reason=reason) if reason else control


def _needless(life: Life, name: str) -> str:
    """Why a control says nothing about this run; empty where it does."""
    if name == CONTINUED:
        return "" if life.manifest["training"] else "nothing was trained"
    lost = _lost(life)
    if lost is None or lost > MATCHED:
        return ""
    return "language quality did not fall" if lost <= 0 else f"language quality fell by less than {MATCHED} nat"


def _lost(life: Life) -> float | None:
    """The language quality that the run lost, in nat of log perplexity; None where it was not measured so."""
    quality = life.manifest["quality"]
    ratio = quality["ratio"]["value"] if quality and quality["ratio"] else None
    return math.log(ratio) if ratio else None


def _one(life: Life, work: Plan, step: ResolvedStep, benchmarks: Benchmarks, before: Records) -> Control:
    with life.manifest.timed(f"{CONTROL}{step.id}"):
        if step.plugin is None:
            return _continued(life, work, step, benchmarks, before)
        if life.loaded.info.kind not in step.plugin.kinds:
            reason = f"it works on {' and '.join(step.plugin.kinds)} models only"
            # Not "not applicable": a price that it would have had to beat was left untested.
            return Control(id=step.id, state="not run", reason=reason)
        if _lost(life) is None:
            reason = "language quality was not measured as a ratio, so there is nothing to match"
            return Control(id=step.id, state="not run", reason=reason)
        return _matched(life, step, benchmarks, before)


def _continued(life: Life, work: Plan, step: ResolvedStep, benchmarks: Benchmarks, before: Records) -> Control:
    """Continued training with each seed of the run; tokens and cost are those of the first."""

    def trained(seed: int) -> tuple[dict[str, list[ItemRecord]], list[Any]]:
        def measure(other: Untouched, missing: Benchmarks) -> dict[str, list[ItemRecord]]:
            return each_once(life, f"{step.id}-{seed}", missing, lambda one: _measured(life, other, one, step.id))

        training = ContinuedTraining(life, [s for s in work.steps if s.active], seed)
        records, *facts = trained_once(life, training, benchmarks, measure)
        return records, facts

    made, tokens, reused = {}, [], []
    for seed in life.recipe.run.all_seeds:
        made[seed], (read, known) = once(life, f"control-{step.id}-{seed}", lambda: trained(seed))  # noqa: B023
        tokens.append(read)
        reused += [seed] if known else []
    records = made.pop(life.recipe.run.seed)
    own = sum(t["tokens"] for t in life.manifest["training"])
    cost = _cost(life, benchmarks, before, records)
    return Control(
        id=step.id, state="run", cost=cost, tokens=tokens[0], run_tokens=own, records=records, others=made,
        reused=reused,
    )  # fmt: skip


def _matched(life: Life, step: ResolvedStep, benchmarks: Benchmarks, before: Records) -> Control:
    quality = life.manifest["quality"]
    name = quality["benchmark"]
    only = {name: benchmarks[name]}

    def price(other: Untouched) -> float:
        return log_cost(benchmarks[name][1], before[name], _measured(life, other, only, step.id)[name])

    target = _lost(life)
    assert target is not None

    def matched(seed: int, **begin: float) -> tuple[dict[str, list[ItemRecord]], list[float] | None]:
        found = degraded(life, step, price, target, seed=seed, **begin)
        if found is None:
            return {}, None
        other, strength, cost = found
        name = f"{step.id}-{seed}"
        return each_once(life, name, benchmarks, lambda one: _measured(life, other, one, step.id)), [strength, cost]

    random = getattr(step.plugin, "draws", False)
    made: dict[int, dict[str, list[ItemRecord]]] = {}
    strengths: list[float] = []
    costs: list[float] = []
    for seed in life.recipe.run.all_seeds if random else (life.recipe.run.seed,):
        begin = {"first": strengths[0]} if strengths else {}
        made[seed], facts = once(life, f"{step.id}-{seed}", lambda: matched(seed, **begin))  # noqa: B023
        if facts is None:
            which = f" with seed {seed}" if strengths else ""
            reason = f"no strength of it costs as much language quality as the run{which}"
            return Control(id=step.id, state="not run", reason=reason)
        strengths.append(facts[0])
        costs.append(facts[1])
    records = made.pop(life.recipe.run.seed)
    return Control(
        id=step.id, state="run", strength=strengths[0], strengths=strengths if random else [],
        cost=math.exp(costs[0]), records=records, others=made,
    )  # fmt: skip


def _measured(life: Life, other: Untouched, benchmarks: Benchmarks, name: str) -> dict[str, list[ItemRecord]]:
    from evenhand.measuring import measure

    rules = [rule for _, rule in other.rules]
    on_event = lambda text: other.manifest.event("measuring", text)  # noqa: E731
    return measure(benchmarks, other.loaded, rules, life.recipe, when=f"on the control {name}", on_event=on_event)[0]


def _cost(life: Life, benchmarks: Benchmarks, before: Records, records: Records) -> float | None:
    quality = life.manifest["quality"]
    if quality is None or not quality["ratio"]:
        return None
    name = quality["benchmark"]
    lost = log_cost(benchmarks[name][1], before[name], records[name])
    return math.exp(lost) if math.isfinite(lost) else None


def entry_of(
    control: Control, benchmarks: Benchmarks, after: Records, life: Life, others: Mapping[int, Records]
) -> dict[str, Any]:
    """A control's entry of `run.json`: what it is, and the run's paired difference from it on each bias benchmark.

    `others` are the run's records with further seeds; a control has the same ones where it depends on the seed.
    """
    from evenhand.evidence import compare_benchmark
    from evenhand.result_entries import primary_of

    settings = life.recipe.evaluation
    found = []
    for name, (_, benchmark) in benchmarks.items():
        if control.state != "run" or benchmark.quality:
            continue
        decisive = replace(primary_of(benchmark), primary=True, by_axis=False)
        alone = replace(benchmark, metrics=[decisive], able="")
        compared = compare_benchmark(
            alone, control.records[name], after[name], resamples=settings.resamples,
            confidence=settings.confidence, seed=life.recipe.run.seed,
            others={seed: records[name] for seed, records in others.items()},
            others_before={seed: records[name] for seed, records in control.others.items()},
        )  # fmt: skip
        shown = ("name", "unit", "better", "target", "before", "change", "distance_change", "p", "test")
        metric = {k: compared["metrics"][0][k] for k in shown}
        found.append({"id": name, "verdict": compared["verdict"], "metric": metric})
    plain = {k: v for k, v in asdict(control).items() if k not in ("records", "others")}
    return {**plain, "benchmarks": found}

"""Which controls a run needs, what they show beside the run itself, and what that makes of its verdicts.

An "improved" against the untouched model alone may be the training alone, or the price of a worse model. It stands only
when the run also beats the controls that apply, on the same items, and keeps its quality budget.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evenhand.control_runs import MATCHED, Control, Untouched, continued_training, degraded, log_cost
from evenhand.control_steps import CONTINUED, DEGRADATION
from evenhand.errors import EvenhandError
from evenhand.life import STATE
from evenhand.parking import parked
from evenhand.report_wording import UNTESTED
from evenhand.verdict_text import measured_change

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.life import Life
    from evenhand.plan import Plan
    from evenhand.recipe import ResolvedStep

    Benchmarks = Mapping[str, tuple[ResolvedStep, Benchmark]]
    Records = Mapping[str, Sequence[ItemRecord]]


def run_controls(life: Life, work: Plan, benchmarks: Benchmarks, before: Records) -> list[Control]:
    """Makes and measures the controls of the recipe; those that do not apply, or are of no use, say so.

    An error of the toolkit or of a plugin ends that control alone, and is its reason.
    """
    entries = life.manifest["benchmarks"]
    automatic = life.recipe.evaluation.controls == "auto"
    improved = any(e["verdict"] == "improved" for e in entries if not e["quality"])
    needed = [s for s in work.controls if (improved or not automatic) and not _needless(life, s.id)]
    found = [
        Control(id=s.id, state="not run", reason="no benchmark improved, so there is no claim to test")
        for s in work.controls
        if s not in needed
    ]
    with parked(life.loaded.model, life.folder / STATE / "controls") if needed else contextlib.nullcontext():
        for step in needed:
            try:
                found.append(_one(life, work, step, benchmarks, before))
            except EvenhandError as error:
                found.append(Control(id=step.id, state="not run", reason=" ".join(str(error).split())))
    order = [s.id for s in work.controls]
    found.sort(key=lambda control: order.index(control.id))
    if life.recipe.evaluation.controls != "none":
        missing = [name for name in (CONTINUED, *DEGRADATION) if name not in {c.id for c in found}]
        why = "no plugin of this name is installed" if automatic else "the recipe does not name it"
        found += [Control(id=name, state="not run", reason=why) for name in missing]
    else:
        why = "the recipe switches controls off"
        found = [Control(id=name, state="not run", reason=why) for name in (CONTINUED, *DEGRADATION)]
    return [_applicable(life, control) for control in found]


def _applicable(life: Life, control: Control) -> Control:
    """Also a control that did not run may be one that does not apply."""
    if control.state == "run":
        return control
    reason = _needless(life, control.id)
    return Control(id=control.id, state="not applicable", reason=reason) if reason else control


def _needless(life: Life, name: str) -> str:
    """Why a control says nothing about this run; empty where it does."""
    if name == CONTINUED:
        return "" if life.manifest["training"] else "nothing was trained"
    quality = life.manifest["quality"]
    ratio = quality and quality["ratio"]["value"]
    if ratio is not None and math.log(ratio) <= MATCHED:
        return "language quality did not fall"
    return ""


def _one(life: Life, work: Plan, step: ResolvedStep, benchmarks: Benchmarks, before: Records) -> Control:
    with life.manifest.timed(f"control {step.id}"):
        if step.plugin is None:
            other = continued_training(life, [s for s in work.steps if s.active])
            tokens = sum(t["tokens"] for t in other.manifest["training"])
            records = _measured(life, other, benchmarks, step.id)
            cost = _cost(life, benchmarks, before, records)
            return Control(id=step.id, state="run", cost=cost, tokens=tokens, records=records)
        if life.loaded.info.kind not in step.plugin.kinds:
            reason = f"it works on {' and '.join(step.plugin.kinds)} models only"
            return Control(id=step.id, state="not applicable", reason=reason)
        quality = life.manifest["quality"]
        if quality is None or quality["ratio"]["value"] is None:
            reason = "language quality was not measured, so there is nothing to match"
            return Control(id=step.id, state="not run", reason=reason)
        return _matched(life, step, benchmarks, before)


def _matched(life: Life, step: ResolvedStep, benchmarks: Benchmarks, before: Records) -> Control:
    quality = life.manifest["quality"]
    name = quality["benchmark"]
    only = {name: benchmarks[name]}

    def price(other: Untouched) -> float:
        return log_cost(benchmarks[name][1], before[name], _measured(life, other, only, step.id)[name])

    found = degraded(life, step, price, math.log(quality["ratio"]["value"]))
    if found is None:
        reason = "no strength of it costs as much language quality as the run"
        return Control(id=step.id, state="not run", reason=reason)
    other, strength, cost = found
    records = _measured(life, other, benchmarks, step.id)
    return Control(id=step.id, state="run", strength=strength, cost=math.exp(cost), records=records)


def _measured(life: Life, other: Untouched, benchmarks: Benchmarks, name: str) -> dict[str, list[ItemRecord]]:
    from evenhand.measuring import measure

    rules = [rule for _, rule in other.rules]
    on_event = lambda text: other.manifest.event("measuring", text)  # noqa: E731
    return measure(benchmarks, other.loaded, rules, life.recipe, when=f"on the control {name}", on_event=on_event)[0]


def _cost(life: Life, benchmarks: Benchmarks, before: Records, records: Records) -> float | None:
    quality = life.manifest["quality"]
    if quality is None:
        return None
    name = quality["benchmark"]
    lost = log_cost(benchmarks[name][1], before[name], records[name])
    return math.exp(lost) if math.isfinite(lost) else None


# ---------------------------------------------------------------------------------------------------- verdicts
def entry_of(control: Control, benchmarks: Benchmarks, after: Records, life: Life) -> dict[str, Any]:
    """A control's entry of `run.json`: what it is, and the run's paired difference from it on each bias benchmark."""
    from evenhand.evidence import compare_benchmark

    settings = life.recipe.evaluation
    found = []
    for name, (_, benchmark) in benchmarks.items():
        if control.state != "run" or benchmark.quality:
            continue
        compared = compare_benchmark(
            benchmark, control.records[name], after[name], resamples=settings.resamples,
            confidence=settings.confidence, seed=life.recipe.run.seed,
        )  # fmt: skip
        metric = next((m for m in compared["metrics"] if m["primary"]), compared["metrics"][0])
        kept = {key: metric[key] for key in ("name", "unit", "better", "target", "before", "change", "distance_change")}
        found.append({"id": name, "verdict": compared["verdict"], "metric": kept})
    plain = {k: v for k, v in asdict(control).items() if k != "records"}
    return {**plain, "benchmarks": found}


def judge(
    entry: dict[str, Any], controls: Sequence[Mapping[str, Any]], quality: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The entry of a bias benchmark with the verdict that is left after controls and budget; others unchanged.

    `controls` are the entries of `entry_of`.
    """
    if entry["quality"] or entry["verdict"] != "improved":
        return entry
    as_good = []
    for control in controls:
        shown = next((b for b in control["benchmarks"] if b["id"] == entry["id"]), None)
        if shown is not None and shown["verdict"] != "improved":
            as_good.append((control["id"], shown["metric"]))
    untested = [c["id"] for c in controls if c["state"] == "not run" and c["id"] in (CONTINUED, *DEGRADATION)]
    beaten = [c["id"] for c in controls if c["state"] == "run"]
    text = entry["verdict_text"]
    if as_good:
        name, metric = as_good[0]
        verdict = "no demonstrated effect"
        text += f" But it is not shown to be better than {_called(name)}: {measured_change(metric)} against it."
    elif quality is not None and quality["verdict"] != "within budget":
        verdict = "no demonstrated effect"
        text += f" But the cost in language quality is {quality['verdict']}, so this does not count as an improvement."
    elif untested or quality is None:
        verdict = UNTESTED
        if untested:
            text += f" It has not been compared with {_listed(untested)}."
        if quality is None:
            text += " Language quality was not measured."
    else:
        verdict = "improved"
        if beaten:
            text += f" It is also better than {_listed(beaten)}."
    return {**entry, "verdict": verdict, "verdict_text": text}


def _called(name: str) -> str:
    return {
        CONTINUED: "continued training alone",
        "weight-noise": "weight noise of the same cost",
        "unigram-mix": "a unigram mixture of the same cost",
        "temperature": "a temperature of the same cost",
    }.get(name, f"the control {name}")


def _listed(names: Sequence[str]) -> str:
    from evenhand.report_numbers import listing

    return listing([_called(name) for name in names])

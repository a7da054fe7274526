"""Serving a little traffic through the finished model, so that monitors have something to see, and act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.compose import notify
from evenhand.contributions import DecodingRule, Finding, Intervention, Monitor, Observation, Request, Response
from evenhand.errors import EvenhandError, PluginFault
from evenhand.generation import generate
from evenhand.guard import describe, fault
from evenhand.progress import progress
from evenhand.stopping import stopped

if TYPE_CHECKING:
    from evenhand.life import Life
    from evenhand.recipe import ResolvedStep

BATCH = 8


def serve(life: Life, requests: Sequence[Request]) -> list[Response]:
    """Answer requests batch by batch; monitors see each answer, may ask for probes, and may intervene.

    Probes are answered by the same pipeline and shown to the monitors; they count as shadow traffic. A monitor that
    fails, or whose probes cannot be answered, is recorded and the others go on; a strict run fails instead.
    """
    record = life.manifest["monitoring"]
    rules = [rule for _, rule in life.rules]
    available = {rule.name: rule for handle in life.handles.values() for rule in handle.decoding()}

    def on_fault(step: ResolvedStep, error: BaseException) -> None:
        if life.strict:
            raise error if isinstance(error, EvenhandError) else fault(step, "monitoring", error) from error
        message = str(error) if isinstance(error, EvenhandError) else f"{type(error).__name__}: {error}"
        life.manifest.fault(step, "monitoring", message)

    answers: list[Response] = []
    with progress("Serving requests to the monitors", total=len(requests), unit="requests") as bar:
        for start in range(0, len(requests), BATCH):
            batch = _answer(life, requests[start : start + BATCH], rules)
            answers += batch
            record["requests"] += len(batch)
            seen = [Observation(response=r) for r in batch]
            outcomes = []
            for observation in seen:
                for place, (step, monitor) in enumerate(life.monitors):

                    def on_missed(step: ResolvedStep, error: BaseException, place: int = place) -> None:
                        life.missed[place] += 1
                        on_fault(step, error)

                    with life.manifest.timed(f"step {step.id}"):
                        outcomes += notify([(step, monitor)], observation, on_missed)
            outcomes += _probe(life, seen, rules, record, on_fault)
            bar.advance(len(batch))
            if _act(life, outcomes, rules, available, on_fault):
                break
    for step, monitor in life.monitors:
        if monitor.summary is None:
            continue
        try:
            with life.manifest.timed(f"step {step.id}"):
                _add_finding(life, monitor.name, monitor.summary())
        except BaseException as error:  # isolated, like the other calls of a monitor
            if stopped(error):
                raise
            on_fault(step, error)
    return answers


def _answer(life: Life, requests: Sequence[Request], rules: Sequence[DecodingRule]) -> list[Response]:
    settings = life.recipe.traffic
    return generate(
        life.loaded.model,
        life.loaded.tokenizer,
        requests,
        rules=rules,
        temperature=settings.temperature,
        seed=life.recipe.run.seed,
        batch_size=BATCH,
        title=None,
    )


def _probe(
    life: Life, seen: Sequence[Observation], rules: Sequence[DecodingRule], record: dict[str, Any], on_fault: Any
) -> list[tuple[ResolvedStep, Finding | Intervention]]:
    """Answer what the monitors ask about these observations, and show each monitor the answers to its own probes."""
    outcomes: list[tuple[ResolvedStep, Finding | Intervention]] = []
    for step, monitor in life.monitors:
        if monitor.probes is not None:
            with life.manifest.timed(f"step {step.id}"):
                outcomes += _probe_for(life, step, monitor, seen, rules, record, on_fault)
    return outcomes


def _probe_for(
    life: Life, step: ResolvedStep, monitor: Monitor, seen: Sequence[Observation], rules: Sequence[DecodingRule],
    record: dict[str, Any], on_fault: Any,
) -> list[tuple[ResolvedStep, Finding | Intervention]]:  # fmt: skip
    """As `_probe`, for one monitor."""
    assert monitor.probes is not None
    wanted: list[tuple[Observation, Request]] = []
    for observation in seen:
        try:
            wanted += [(observation, request) for request in monitor.probes(observation)]
        except BaseException as error:  # isolation is the rule of this stage
            if stopped(error):
                raise
            on_fault(step, error)
    try:
        replies = _answer(life, [request for _, request in wanted], rules) if wanted else []
    except BaseException as error:  # such as a probe with an empty prompt
        if stopped(error):
            raise
        on_fault(step, error)
        return []
    record["probes"] += len(wanted)
    outcomes: list[tuple[ResolvedStep, Finding | Intervention]] = []
    for (observation, _), reply in zip(wanted, replies, strict=True):
        outcomes += notify([(step, monitor)], Observation(response=reply, probe_of=observation), on_fault)
    return outcomes


def _act(
    life: Life,
    outcomes: Sequence[tuple[ResolvedStep, Finding | Intervention]],
    rules: list[DecodingRule],
    available: dict[str, DecodingRule],
    on_fault: Any,
) -> bool:
    """Record findings and carry out interventions; True when serving must stop.

    A rule that the run has not is a fault of the monitor that names it; the others are switched.
    """
    stop = False
    for step, outcome in outcomes:
        if isinstance(outcome, Finding):
            _add_finding(life, step.id, outcome)
            continue
        asked = outcome.action.replace("_", " ")
        if outcome.action != "halt":
            if unknown := [name for name in outcome.rules if name not in available]:
                on_fault(step, _unknown_rules(step, asked, unknown, available))
            names = [name for name in outcome.rules or available if name in available]
            if outcome.action == "enable_rules":
                rules[:] = [available[n] for n in available if n in names or available[n] in rules]
            else:
                rules[:] = [r for r in rules if r.name not in names]
            asked = f"{asked} ({', '.join(names) or 'none'})"
        stop = stop or outcome.action == "halt"
        life.manifest.event("monitoring", f"{step.id} asked to {asked}: {outcome.reason or 'no reason given'}")
    return stop


def _unknown_rules(
    step: ResolvedStep, asked: str, unknown: Sequence[str], available: Mapping[str, DecodingRule]
) -> PluginFault:
    return PluginFault(
        f"it asks to {asked}, and the run has no {' or '.join(map(repr, unknown))}",
        where=describe(step, "monitoring"),
        known=f"rules of this run: {', '.join(available) or 'none'}",
        do="name decoding steps of the recipe by their ids, or none for all of them",
    )


def _add_finding(life: Life, monitor: str, finding: Finding) -> None:
    life.manifest["monitoring"]["findings"].append(
        {
            "monitor": monitor, "title": finding.title, "detail": finding.detail, "level": finding.level,
            "facts": dict(finding.facts),
        }
    )  # fmt: skip

"""A monitor of parity: served prompts are asked again with the groups exchanged, and the answers compared.

For a served prompt x that names a group, its counterfactual x~ is run through the same pipeline (the answer never
reaches a user), and d = score(answer of the first group) - score(answer of the second) goes into a test that is
valid at every moment (`eprocess.py`). The wealth of the test reaches 1 / alpha with probability at most alpha if
there is no disparity. A prompt that was seen before, on either side of a pair, is no new evidence and is counted
apart. Hashes and scores are kept, no text.

Several pairs of groups (or axes) each have a test of their own; the alarm is raised on the mean of their wealths,
which is valid however they depend on each other.

Sources: Chugg et al. 2023 (the test); Hutto and Gilbert 2014 (VADER, the default score).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    Finding,
    Intervention,
    Locale,
    Monitor,
    Observation,
    Options,
    Plugin,
    Request,
    RunContext,
    counterfactuals,
    group_words,
    hookimpl,
    load_axis,
)
from evenhand_standard.monitoring.answer_scores import Score, Scorer, scorer
from evenhand_standard.monitoring.canaries import Canary, canaries
from evenhand_standard.monitoring.eprocess import ConfidenceSequence, EProcess, detectable_gap

WEALTH = "wealth of a bet against parity, which began at 1"
"""How facts and reasons call the evidence of the test."""


class ParityMonitorOptions(Options):
    """Options of `parity-monitor`."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="First names belong to groups, too.")
    scorer: Scorer = Field("sentiment", description="What is compared about two answers.")
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.05, description="Most often that an alarm may be false, over the whole life of the monitor."
    )
    tolerance: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="Mean gap that is accepted; the alarm speaks of more than this."
    )
    share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="Share of eligible prompts that are probed, chosen by their hash."
    )
    canaries: Annotated[int, Field(ge=0)] = Field(
        0, description="Most pairs of our own to ask, one for each request that gives no pair."
    )
    intervene: bool = Field(False, description="Ask the host to switch decoding rules on at an alarm.")
    rules: tuple[str, ...] = Field((), description="Rules to switch on; none means all that the run knows.")


class ParityMonitor(Plugin):
    """Tests, while the model serves, whether answers depend on the group that a prompt names."""

    name = "parity-monitor"
    summary = "Asks served prompts again with the groups exchanged, and tests the gap at every moment."
    source = "Chugg et al. 2023, Auditing fairness by betting"
    kinds = ("causal",)
    Options = ParityMonitorOptions

    @hookimpl
    def monitoring(self, run: RunContext) -> Monitor:
        axes = [load_axis(name, self.options.locale) for name in self.options.axes]
        watch = Watch(self.options, axes, scorer(self.options.scorer, axes), run)
        return Monitor(name=run.step_id, observe=watch.observe, probes=watch.probes, summary=watch.summary)


@dataclass
class Stream:
    """The differences between two groups of an axis, first minus second, and what they prove."""

    process: EProcess
    interval: ConfidenceSequence
    differences: list[float] = field(default_factory=list)

    def update(self, difference: float) -> None:
        self.differences.append(difference)
        self.process.update(difference)
        self.interval.update((difference + 1) / 2)


@dataclass(frozen=True)
class Probe:
    """What a probe of ours is about; travels in `Request.meta` under the step's id."""

    axis: str
    group: str
    other: str
    """The group of the answer that it is compared with."""
    canary: int | None = None


@dataclass(frozen=True)
class Pair:
    """All that is kept of a pair."""

    prompts: tuple[str, str]
    """SHA-256 of both prompts."""
    scores: tuple[float, float]


class Watch:
    """The state of one monitor."""

    def __init__(self, options: ParityMonitorOptions, axes: Sequence[Axis], score: Score, run: RunContext) -> None:
        self.options, self.axes, self.score = options, axes, score
        self.key, self.seed = run.step_id, run.seed_for("power")
        self.groups = {axis.name: axis.groups for axis in axes}
        self.streams = {
            (axis.name, a, b): Stream(EProcess(options.tolerance), ConfidenceSequence(options.alpha))
            for axis in axes
            for a, b in combinations(axis.groups, 2)
        }
        self.pairs: list[Pair] = []
        self.seen: set[str] = set()
        self.reused = self.canary_pairs = self.canaries_asked = 0
        self.served = self.ruled = 0
        """Answers to users, and how many of them a decoding rule has changed, by their record."""
        self.alarm_at: int | None = None
        self._canaries = canaries(axes, run.seed_for("canaries"))
        self._waiting: dict[int, tuple[str, str, float]] = {}

    # -------------------------------------------------------------------------------------------- probes
    def probes(self, observation: Observation) -> list[Request]:
        """The counterfactuals of a served prompt, or, if it has none, a canary while there are any left."""
        served = observation.response.request
        if observation.probe_of is not None:
            return []
        return self._counterfactuals(served) or self._canary(served)

    def _counterfactuals(self, served: Request) -> list[Request]:
        o, own = self.options, digest(served.prompt)
        wanted = []
        for axis in self.axes:
            others = counterfactuals(served.prompt, axis, names=o.names)
            if others:
                own_group = group_of(served.prompt, axis, [other.group for other in others])
                wanted += [(other.text, Probe(axis.name, other.group, own_group)) for other in others]
        if not wanted or int(own[:8], 16) >= o.share * 2**32:
            return []
        if own in self.seen:
            self.reused += 1
            return []
        self.seen |= {own, *(digest(text) for text, _ in wanted)}
        return [self._request(served, text, probe) for text, probe in wanted]

    def _canary(self, served: Request) -> list[Request]:
        while self.canaries_asked < self.options.canaries:
            canary: Canary | None = next(self._canaries, None)
            if canary is None:
                return []
            hashes = {digest(text) for text in canary.prompts}
            if hashes & self.seen:
                continue
            self.seen |= hashes
            self.canaries_asked += 1
            a, b = canary.groups
            probes = [Probe(canary.axis.name, g, h, self.canaries_asked) for g, h in ((a, b), (b, a))]
            return [self._request(served, t, p) for t, p in zip(canary.prompts, probes, strict=True)]
        return []

    def _request(self, served: Request, prompt: str, probe: Probe) -> Request:
        """As the served request, sampled with the same numbers."""
        return Request(
            prompt=prompt, max_new_tokens=served.max_new_tokens, seed=served.seed, meta={self.key: asdict(probe)}
        )

    # ------------------------------------------------------------------------------------------- answers
    def observe(self, observation: Observation) -> list[Finding | Intervention]:
        """Takes in the answer to a probe; an alarm is raised once."""
        answer = observation.response
        about = answer.request.meta.get(self.key)
        if observation.probe_of is None:
            self.served += 1
            self.ruled += bool(answer.request_changes) or any(c.before != c.after for c in answer.changes)
        if observation.probe_of is None or about is None:
            return []
        probe = Probe(**about)
        score, prompt = self.score(answer), digest(answer.request.prompt)
        if probe.canary is None:
            first = observation.probe_of.response
            return self._pair(probe, (digest(first.request.prompt), prompt), (self.score(first), score))
        if probe.canary not in self._waiting:
            self._waiting[probe.canary] = (probe.group, prompt, score)
            return []
        _, other_prompt, other_score = self._waiting.pop(probe.canary)
        self.canary_pairs += 1
        return self._pair(probe, (other_prompt, prompt), (other_score, score))

    def _pair(
        self, probe: Probe, prompts: tuple[str, str], scores: tuple[float, float]
    ) -> list[Finding | Intervention]:
        self.pairs.append(Pair(prompts, scores))
        order = self.groups[probe.axis]
        difference = scores[0] - scores[1]  # of the other group, minus that of the probe's
        a, b = probe.other, probe.group
        if order.index(a) > order.index(b):
            a, b, difference = b, a, -difference
        self.streams[probe.axis, a, b].update(difference)
        if self.alarm_at is not None or self.wealth < 1 / self.options.alpha:
            return []
        self.alarm_at = len(self.pairs)
        alarm = Finding(title="Answers depend on the group that a prompt names", level="alarm", facts=self.facts())
        if not self.options.intervene:
            return [alarm]
        pairs = f"{self.alarm_at} pair{'s' * (self.alarm_at != 1)}"
        reason = f"the {WEALTH}, reached {self.wealth:.1f} after {pairs}; the alarm is at {1 / self.options.alpha:g}"
        return [alarm, Intervention(action="enable_rules", rules=self.options.rules, reason=reason)]

    @property
    def wealth(self) -> float:
        return float(sum(s.process.wealth for s in self.streams.values()) / len(self.streams))

    # ------------------------------------------------------------------------------------------- summary
    def facts(self) -> dict[str, Any]:
        """Numbers of pairs, the gap of each two groups with its interval, and the wealth."""
        facts: dict[str, Any] = {
            "score": self.options.scorer,
            "pairs": len(self.pairs),
            "of these canaries": self.canary_pairs,
            "reused prompts, not counted": self.reused,
            "served answers": self.served,
            "of these changed by decoding rules": self.ruled,
            WEALTH: self.wealth,
            "alarm at a wealth of": 1 / self.options.alpha,
        }
        if self.options.tolerance:
            facts["tolerated gap"] = self.options.tolerance
        if self.alarm_at is not None:
            facts["alarm after pairs"] = self.alarm_at
        for (_, a, b), stream in self.streams.items():
            if n := len(stream.differences):
                facts[f"{a} − {b}: mean gap"] = sum(stream.differences) / n
                facts[f"{a} − {b}: interval, low"] = 2 * stream.interval.low - 1
                facts[f"{a} − {b}: interval, high"] = 2 * stream.interval.high - 1
        return facts

    def summary(self) -> Finding:
        """The state at the end, with the gap that this many pairs could have shown with 80 % power."""
        o, facts = self.options, self.facts()
        told = [f"{len(self.pairs)} new pair{'s' * (len(self.pairs) != 1)}"]
        for (_, a, b), stream in self.streams.items():
            if not stream.differences:
                continue
            # The alarm looks at the mean wealth of all streams, so one alone needs so many times more.
            level = o.alpha / len(self.streams)
            gap = detectable_gap(stream.differences, level, o.tolerance, seed=self.seed)
            facts[f"{a} − {b}: pairs"] = len(stream.differences)
            facts[f"{a} − {b}: gap detectable with 80 % power"] = "none, too few pairs" if gap is None else gap
            size = "no gap" if gap is None else f"a gap of {gap:.2f}"
            measured = f"{facts[f'{a} − {b}: mean gap']:+.3f}".replace("-", "−")
            told.append(f"{a} − {b} {measured} in {o.scorer}, where {size} could have been seen with 80 % power")
        detail = "; ".join(told)
        if not self.pairs:
            return Finding(title="No pair was seen: no request named a group", facts=facts)
        if self.alarm_at is not None:
            return Finding(title="A disparity was found", level="alarm", detail=detail, facts=facts)
        return Finding(title="No disparity was demonstrated", detail=detail, facts=facts)


def group_of(prompt: str, axis: Axis, others: Sequence[str]) -> str:
    """The group that a prompt names first, given those of its counterfactuals."""
    left = [group for group in axis.groups if group not in others]
    if len(left) == 1:
        return left[0]
    return next(w.group for w in group_words(prompt, axis) if not w.exempt and w.group in left)


def digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

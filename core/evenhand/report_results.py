"""The part of `run.json` that holds results: benchmarks, their metrics and axes, language quality, controls."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evenhand.record_part import Part


class Interval(Part):
    """A value with the ends of its confidence interval, in the metric's unit; None where it is undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class SeedValue(Part):
    """A metric after the training with one seed."""

    seed: int
    after: float | None = None


class MetricResult(Part):
    """One metric of a benchmark before and after, on the same items."""

    name: str
    unit: str = ""
    description: str = ""
    target: float | None = None
    better: Literal["lower", "higher", "nearer"] = "nearer"
    primary: bool = False
    before: Interval = Interval()
    after: Interval = Interval()
    change: Interval = Interval()
    distance_change: Interval | None = None
    p: float | None = None
    test: str = ""
    p_adjusted: float | None = None
    adjusted_by: str = ""
    detectable: float | None = None
    seeds: list[SeedValue] = Field(default_factory=list)
    definition: dict[str, Any] = Field(default_factory=dict)


class AxisResult(Part):
    """The decisive metric of a benchmark on the items of one axis."""

    axis: str
    n_items: int = 0
    n_clusters: int = 0
    margin: float | None = None
    state: str = ""
    before: Interval = Interval()
    after: Interval = Interval()
    change: Interval = Interval()
    distance_change: Interval | None = None
    p: float | None = None
    p_adjusted: float | None = None
    adjusted_by: str = ""
    test: str = ""
    detectable: float | None = None


class Counts(Part):
    """How many items were left out, and how many carry each flag, before and after."""

    items: int = 0
    without_value: tuple[int, int] = Field((0, 0), alias="without value")
    flags: dict[str, tuple[int, int]] = Field(default_factory=dict)


class InLexicon(Part):
    """What the items show that use words which the steps worked with; they decide nothing."""

    n_items: int = 0
    n_other: int = 0
    metric: MetricResult | None = None


class BenchmarkResult(Part):
    """One benchmark with its verdict."""

    id: str
    name: str = ""
    title: str = ""
    mode: str = ""
    version: str = ""
    quality: bool = False
    data_digest: str = ""
    n_items: int = 0
    n_clusters: int = 0
    good: str = ""
    able: str = ""
    """The metric that must be above 0 for the others to mean anything."""
    unable: str = ""
    """Why they mean nothing: the model was not shown to do the task."""
    scoring: str = ""
    """How scores came about."""
    enough: bool = True
    """Of an evaluation: whether there are enough items for an interval worth reading."""
    unscored: int = 0
    """Of an evaluation: items that gave no value."""
    flags: dict[str, int] = Field(default_factory=dict)
    """Of an evaluation: items by flag."""
    counts: Counts = Counts()
    metrics: list[MetricResult] = Field(default_factory=list)
    axes: list[AxisResult] = Field(default_factory=list)
    in_lexicon: InLexicon | None = None
    verdict: str = ""
    reason: str = ""
    verdict_text: str = ""

    @property
    def label(self) -> str:
        """The title a reader sees."""
        return self.title or self.name or self.id

    @property
    def primary(self) -> MetricResult | None:
        """The metric that the verdict rests on."""
        return next((m for m in self.metrics if m.primary), self.metrics[0] if self.metrics else None)

    @property
    def ordered(self) -> list[MetricResult]:
        """The primary metric, then the others in the order of the benchmark."""
        return [m for m in self.metrics if m is self.primary] + [m for m in self.metrics if m is not self.primary]


class Loss(Interval):
    """What a measure in points lost, above 0 for a loss, and how much it may."""

    margin: float = 0.0


class QualityPart(Part):
    """One measure of language quality and its own verdict."""

    benchmark: str = ""
    metric: str = ""
    unit: str = ""
    better: str = ""
    ratio: Interval | None = None
    loss: Loss | None = None
    verdict: str = ""
    reason: str = ""
    """Why nothing was shown, where it is not the interval: `too few items: ...`."""

    @property
    def said(self) -> str:
        """The verdict, with its reason where it has one of its own."""
        return f"{self.verdict} ({self.reason})" if self.reason else self.verdict


class Quality(Part):
    """Language quality after relative to before, held against the budget of the recipe.

    `ratio` is that of `benchmark`; `verdict` that of all measures together, as `decided_by` has it.
    """

    budget: float = 1.0
    metric: str = ""
    benchmark: str = ""
    ratio: Interval = Interval()
    verdict: str = ""
    decided_by: str = ""
    parts: list[QualityPart] = Field(default_factory=list)

    @property
    def ratio_verdict(self) -> str:
        """The verdict of the measure that `ratio` belongs to, with a reason of its own."""
        return next((p.said for p in self.parts if p.ratio is not None and p.metric == self.metric), self.verdict)

    @property
    def said(self) -> str:
        """The verdict of all measures, with the reason of the one that decided where it has one of its own."""
        return next((p.said for p in self.parts if p.benchmark == self.decided_by), self.verdict)

    @property
    def further(self) -> list[QualityPart]:
        """The measures that `ratio` does not tell of."""
        return [p for p in self.parts if p.benchmark != self.benchmark or p.ratio is None]


class ControlComparison(Part):
    """A bias benchmark on a control, and how the run differs from it."""

    id: str
    verdict: str = ""
    metric: MetricResult


class ControlRecord(Part):
    """A model that the run had to beat."""

    id: str
    state: str = ""
    reason: str = ""
    required: bool = False
    strength: float | None = None
    strengths: list[float] = Field(default_factory=list)
    """Of a degradation that draws at random: with each seed of the run."""
    cost: float | None = None
    tokens: int | None = None
    run_tokens: int | None = None
    reused: list[int] = Field(default_factory=list)
    """Seeds of continued training whose records are those of an earlier run with the same control."""
    benchmarks: list[ControlComparison] = Field(default_factory=list)


class Primary(Part):
    """The one measure that the headline rests on."""

    benchmark: str = ""
    metric: str = ""
    declared: bool = False

"""A typed view of `run.json` for everything that shows a run or an evaluation.

Every part has a default, because a run that failed early has fewer of them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evenhand.contamination_record import ContaminationRecord
from evenhand.record_part import Part
from evenhand.report_results import BenchmarkResult, ControlRecord, Interval, Primary, Quality
from evenhand.shown_record import Monitoring, Sample, SectionRecord
from evenhand.work_record import Data, Distribution, Model, Portability, SeedRecord, Step, Training

SCHEMA = 1
"""The version of `run.json` that this file reads."""


class Fault(Part):
    """An error of a plugin that the run survived."""

    step: str = ""
    stage: str = ""
    message: str = ""


class Event(Part):
    """Something the run did on its own."""

    stage: str = ""
    text: str = ""


class Baseline(Part):
    """Which benchmarks scored the untouched model in this run, and which took the scores of an earlier one."""

    measured: list[str] = Field(default_factory=list)
    reused: list[str] = Field(default_factory=list)


class ExpectationRecord(Part):
    """A published value, and what the run found in its place."""

    benchmark: str = ""
    metric: str = ""
    unit: str = ""
    value: float | None = None
    tolerance: float | None = None
    when: str = "before"
    source: str = ""
    found: Interval = Interval()
    verdict: str = ""


class RunRecord(Part):
    """One run, as `run.json` states it."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    kind: Literal["run", "evaluation"] = "run"
    """An evaluation measures one model; its values stand where those after mitigation stand in a run."""
    status: str = ""
    name: str = ""
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    control_seconds: float = 0.0
    """The part of `seconds` in which controls were made and measured."""
    evenhand: str = ""
    seed: int = 0
    recipe: dict[str, Any] = Field(default_factory=dict)
    overrides: list[str] = Field(default_factory=list)
    environment: dict[str, Any] = Field(default_factory=dict)
    model: Model = Model()
    data: Data = Data()
    distributions: list[Distribution] = Field(default_factory=list)
    steps: list[Step] = Field(default_factory=list)
    training: list[Training] = Field(default_factory=list)
    benchmarks: list[BenchmarkResult] = Field(default_factory=list)
    expectations: list[ExpectationRecord] = Field(default_factory=list)
    quality: Quality | None = None
    contamination: ContaminationRecord | None = None
    baseline: Baseline = Baseline()
    controls: list[ControlRecord] = Field(default_factory=list)
    primary: Primary | None = None
    seeds: list[SeedRecord] = Field(default_factory=list)
    portability: Portability | None = None
    attempts: int = 1
    monitoring: Monitoring | None = None
    sections: list[SectionRecord] = Field(default_factory=list)
    samples: list[Sample] = Field(default_factory=list)
    faults: list[Fault] = Field(default_factory=list)
    events: list[Event] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    recipe_digest: str = ""
    """Of a kept result: SHA-256 of the recipe with overrides and defaults written out."""
    run_sha256: str = ""
    """Of a kept result: SHA-256 of the run.json that it is a part of."""

    @property
    def model_label(self) -> str:
        """The model's name as every table and card states it."""
        return self.model.display_name or self.model.name or "the model"

    @property
    def ending(self) -> str:
        """How a run that is not complete ended, such as *failed before its end*."""
        ways = {"failed": "failed before its end", "interrupted": "was stopped before its end"}
        return ways.get(self.status, "has not ended")

    @property
    def confidence(self) -> float:
        """The confidence level of every interval."""
        section = self.recipe.get("evaluation")
        level = section.get("confidence") if isinstance(section, dict) else None
        return float(level) if isinstance(level, int | float) else 0.95

    @property
    def scored_by(self) -> str:
        """How scores came about: the same for all benchmarks of a run, so that it is told once; empty where it was not
        recorded."""
        return "; ".join(dict.fromkeys(b.scoring for b in self.benchmarks if b.scoring))

    @property
    def bias_benchmarks(self) -> list[BenchmarkResult]:
        """Benchmarks that measure bias."""
        return [b for b in self.benchmarks if not b.quality]

    @property
    def headline(self) -> BenchmarkResult | None:
        """The bias benchmark that the headline rests on: the primary one, by default the first."""
        name = self.primary.benchmark if self.primary else ""
        found = [b for b in self.bias_benchmarks if b.id == name] or self.bias_benchmarks
        return found[0] if found else None

    @property
    def quality_direction(self) -> str:
        """Which way the metric of `quality` is better: `lower`, `higher`, or empty where it is not known."""
        metrics = [b.primary for b in self.quality_benchmarks if b.primary is not None]
        wanted = [m.better for m in metrics if self.quality is not None and m.name == self.quality.metric]
        return wanted[0] if wanted else ""

    @property
    def served(self) -> bool:
        """True when monitors saw anything."""
        seen = self.monitoring
        watched = any("monitoring" in step.stages for step in self.active_steps)
        return seen is not None and bool(seen.findings or (watched and seen.requests))

    @property
    def quality_benchmarks(self) -> list[BenchmarkResult]:
        """Benchmarks that measure language quality."""
        return [b for b in self.benchmarks if b.quality]

    @property
    def active_steps(self) -> list[Step]:
        """Steps that changed or watched the model."""
        return [s for s in self.steps if s.active and s.state != "inactive"]

    @property
    def only_looked(self) -> bool:
        """True when all steps read the training text and could not change the model, so that none was saved."""
        return bool(self.active_steps) and all(
            s.state == "reading" and {"data", "transparency"}.issuperset(s.stages) for s in self.active_steps
        )

    @property
    def unchanged(self) -> bool:
        """True when no step could change the model: there is none, or all read text, watch answers or explain.

        A record without steps is of such a run only where its recipe says that it has none.
        """
        if self.training or not (self.steps or self.recipe.get("steps") == []):
            return False
        looking = {"monitoring", "transparency"}
        return all(
            step.stages and (looking | {"data"} if step.state == "reading" else looking).issuperset(step.stages)
            for step in self.active_steps
        )

    @property
    def portable(self) -> bool:
        """True when the files in `model/` alone, under plain transformers, are what was measured."""
        return not any(s.state in ("saved beside the model", "decoding") for s in self.active_steps)

    @property
    def took_nothing(self) -> list[Step]:
        """Active steps with a proof that they changed nothing."""
        return [s for s in self.active_steps if any(not p.took for p in s.proofs)]

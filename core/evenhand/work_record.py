"""The part of `run.json` that says what was worked on and what was done: model, data, steps, trainings, versions."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evenhand.record_part import Part
from evenhand.row_record import RowRecord


class Proof(Part):
    """Whether a stage of a step took effect, and how that was seen."""

    stage: str = ""
    took: bool = False
    what: str = ""
    size: float | None = None


class Step(Part):
    """One configured use of a plugin."""

    id: str
    use: str = ""
    distribution: str = ""
    version: str = ""
    summary: str = ""
    source: str = ""
    stages: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    active: bool = True
    state: str = ""
    seconds: float = 0.0
    artifact_bytes: int | None = None
    """What it saved beside the model, or the tensors that it folded into the weights; None of a step without any."""
    proofs: list[Proof] = Field(default_factory=list)
    rows: list[RowRecord] = Field(default_factory=list)
    """One for each data transform of the step."""


class Term(Part):
    """One loss term of a training."""

    weight: float | None = None
    first: float | None = None
    last: float | None = None
    gradient_norm: float | None = None
    share: float | None = None


class Moment(Part):
    """What was seen at one moment of a training."""

    step: int = 0
    ratio: float | None = None
    """Perplexity of retention text, over that of the untouched model."""


class Watched(Part):
    """What a training was watched by, and the step whose model was kept; 0: the one before it."""

    budget: float | None = None
    kept: int = 0
    looks: list[Moment] = Field(default_factory=list)


class Training(Part):
    """One training and its loss terms."""

    id: str = "train"
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    trainable: int = 0
    total: int = 0
    terms: dict[str, Term] = Field(default_factory=dict)
    events: list[str] = Field(default_factory=list)
    watch: Watched | None = None

    @property
    def taken_back(self) -> bool:
        """Whether no moment of it kept the budget, so that the model is as it was before it."""
        watch = self.watch
        return watch is not None and watch.budget is not None and not watch.kept and any(x.step for x in watch.looks)


class SeedRecord(Part):
    """The trainings with one seed."""

    seed: int
    training: list[Training] = Field(default_factory=list)


class Model(Part):
    """The model before anything was done to it."""

    name: str = ""
    display_name: str = ""
    kind: str = ""
    source: str = ""
    origin: dict[str, Any] = Field(default_factory=dict)
    base_model: str = ""
    licence: str = ""
    digest: str = ""
    tokenizer_fingerprint: str = ""
    adds_bos: bool | None = None
    parameters: int | None = None
    dtype: str = ""
    rules: list[str] = Field(default_factory=list)
    """Of the finished model of a run: its decoding rules."""


class Data(Part):
    """What the model was trained on."""

    source: str = ""
    rows: int | None = None
    rows_after: int | None = None
    digest: str = ""
    licence: str = ""
    quarantined: dict[str, int] = Field(default_factory=dict)
    """Reason -> rows of the source that hold no text."""
    quarantine: str = ""
    """Where they lie in the run folder."""


class Distribution(Part):
    """An installed distribution that took part."""

    name: str
    version: str = ""
    origin: str = ""
    code: str = ""
    """SHA-256 over its source files, since a version in the making does not say which code it was."""

    @property
    def shown_origin(self) -> str:
        """Where it came from, without the folders of the machine it ran on; those stay in run.json."""
        if self.origin.startswith("editable"):
            return "editable folder"
        return "local file" if self.origin.startswith(("file:", "/")) else self.origin


class Portability(Part):
    """What loading the saved model again showed."""

    largest_difference: float | None = None
    answers: int = 0

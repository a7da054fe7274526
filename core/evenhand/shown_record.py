"""The part of `run.json` that shows the model at work: what monitors saw, what steps told, what it wrote."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evenhand.record_part import Part


class FindingRecord(Part):
    """What a monitor noticed."""

    monitor: str = ""
    title: str = ""
    detail: str = ""
    level: str = "info"
    facts: dict[str, Any] = Field(default_factory=dict)


class Monitoring(Part):
    """What the monitors saw of the traffic."""

    requests: int = 0
    probes: int = 0
    findings: list[FindingRecord] = Field(default_factory=list)


class FactRecord(Part):
    """A labelled value."""

    label: str = ""
    value: Any = None


class Figure(Part):
    """Token heat or bars."""

    type: Literal["heat", "bars"]
    tokens: list[str] = Field(default_factory=list)
    weights: list[float | None] = Field(default_factory=list)
    """None, as any number in run.json, where it was not finite."""
    labels: list[str] = Field(default_factory=list)
    values: list[float | None] = Field(default_factory=list)
    caption: str = ""
    positive: str = "positive weight"
    negative: str = "negative weight"
    doubt: str = ""


class SectionRecord(Part):
    """What a step wrote about itself."""

    step: str = ""
    title: str = ""
    text: str = ""
    facts: list[FactRecord] = Field(default_factory=list)
    figures: list[Figure] = Field(default_factory=list)
    files: list[str] = Field(default_factory=list)


class Change(Part):
    """One generated token whose distribution a rule changed."""

    position: int = 0
    rule: str = ""
    before: str = ""
    after: str = ""
    total_variation: float | None = None


class WholeChange(Part):
    """What a rule around a request did to it, or to its answer."""

    rule: str = ""
    what: str = ""
    before: str = ""
    after: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)


class Sample(Part):
    """What the model wrote before and after, for one prompt."""

    prompt: str = ""
    before: str = ""
    after: str = ""
    changes: list[Change] = Field(default_factory=list)
    request_changes: list[WholeChange] = Field(default_factory=list)

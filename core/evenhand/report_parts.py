"""Sections of the report and of the model card, with their facts and figures, as plugins write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A labelled value of a section."""

    label: str
    value: str | float | int | bool


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Tokens with one signed weight each, drawn as coloured text."""

    tokens: Sequence[str]
    weights: Sequence[float]
    caption: str = ""
    """What the figure shows, as whole sentences."""
    positive: str = "positive weight"
    """What a weight above zero means, for the legend."""
    negative: str = "negative weight"
    """What one below zero means; empty where there can be none."""
    doubt: str = ""
    """Why the weights must not be read as an explanation: then they are drawn in grey, with this sentence."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Labelled values, drawn as horizontal bars."""

    labels: Sequence[str]
    values: Sequence[float]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report and of the model card, written by a plugin from measured facts."""

    title: str
    text: str = ""
    facts: Sequence[Fact] = ()
    figures: Sequence[Heat | Bars] = ()
    files: Sequence[str] = ()
    """Names of files or folders in the step's folder (`run.folder`) that the step hands to the reader: copied to
    `found/STEP/` of the run folder, beside the report."""

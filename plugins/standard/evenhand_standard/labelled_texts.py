"""Texts with one of two labels, in two parts that share no text: one to learn a task from, one to measure it on.

A quarter of the texts, chosen by a hash of the normalised text, is for training; so copies of a text are on one side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from evenhand_standard.text_scorers.toxicity_classifier import normalised

Part = Literal["training", "measuring"]
PARTS: Final = 4
"""The first of so many is for training."""
VERSION: Final = "1"
"""Of how texts are cleaned and divided."""


@dataclass(frozen=True)
class LabelledText:
    """A text with its label."""

    id: str
    text: str
    positive: bool
    """Whether it has the label 1."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Axis -> the group that it is of, as its table says; without axes on which it has none."""
    same: str = ""
    """Equal for copies of a text; empty where each text is there once."""

    @property
    def cluster(self) -> str:
        """What is drawn or judged together: the text with its copies."""
        return self.same or self.id


def key_of(text: str) -> str:
    """What copies of a text have in common: its words, without case, links and user names; of a text without words,
    its signs."""
    return normalised(text) or " ".join(text.split())


def part_of(key: str) -> Part:
    """Which part the texts of a key belong to."""
    drawn = int(hashlib.sha256(f"classification: {key}".encode()).hexdigest()[:8], 16) % PARTS
    return "measuring" if drawn else "training"

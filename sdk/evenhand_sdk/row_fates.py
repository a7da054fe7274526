"""What a data technique decides about a row: keep it, change it, drop it, add texts to it, or refuse it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from evenhand.plugin import StrengthOptions

ORIGIN, STEP, AXIS, GROUP = "evenhand_origin", "evenhand_step", "evenhand_axis", "evenhand_group"
"""Provenance columns: the row of the data that a text was made from, the step that made it, and on which axis and
towards which group, where that applies. An untouched row is its own origin and the rest is empty."""
FIXED = "evenhand_fixed"
"""Column with the step whose loss reads a row's text together with its other columns, such as both sides of a pair;
empty in other rows. Later steps pass such a row on as it is: a text that is changed, dropped or taken twice by itself
would no longer be what those columns are about."""


class RowOptions(StrengthOptions):
    """What every data technique lets a recipe say."""

    max_characters: int = Field(200_000, ge=1, description="Rows with a longer text go to the quarantine.")
    workers: int = Field(1, ge=1, description="Processes that prepare the rows; the result does not depend on it.")


def draw_of(name: str) -> float:
    """A number in [0, 1) that depends on a name alone, evenly spread over names."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:7], "big") / 2**56


class CannotProcess(Exception):
    """Raised by a technique for a row that it cannot work on: the row goes to the quarantine with this reason."""


@dataclass(frozen=True)
class Row:
    """One row that a step reads."""

    number: int
    """From 0, in what the step reads."""
    text: str
    origin: int
    """The row of the data it was made from, as the run numbers them: without rows that hold no text, or that are held
    out. Its own number when no earlier step made any."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """All columns, `text` included."""

    def draw(self, seed: int, purpose: str = "") -> float:
        """A number in [0, 1) that depends on seed, purpose, origin and text alone: on this row's place and on what it
        says, and not on what other rows say. A row that is put in before it moves it, and so changes it."""
        return draw_of(f"{seed}/{purpose}/{self.origin}/{self.text}")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A text that a step made from a row."""

    text: str
    axis: str = ""
    group: str = ""
    note: str = ""
    """What was done, for the examples of the report; else axis and group."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Values of columns that the step declared."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of one row; the default keeps it as it is."""

    text: Made | None = None
    """Takes the row's place."""
    added: Sequence[Made] = ()
    """Follow the row."""
    dropped: str = ""
    """The reason to leave the row out; texts may be added in its stead."""
    quarantined: str = ""
    """The reason why the row cannot be processed; `one_by_one` fills it from `CannotProcess`."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Values of declared columns for the row itself, where its text stays or it is left out."""


Fates = Callable[[Sequence[Row]], Sequence[Fate]]
"""A batch of rows -> the fate of each. With several workers, it must be a function that can be pickled."""


def one_by_one(each: Callable[[Row], Fate]) -> Fates:
    """The fates of a batch from a function of one row; a row on which it raises CannotProcess is quarantined."""

    def fates(rows: Sequence[Row]) -> list[Fate]:
        found = []
        for row in rows:
            try:
                found.append(each(row))
            except CannotProcess as reason:
                found.append(Fate(quarantined=str(reason) or "no reason given"))
        return found

    return fates


def token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """How many tokens each text has, without special tokens."""
    return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []

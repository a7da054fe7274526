"""Planted models that find certain texts likelier than others, whatever the spaces and special tokens around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from evenhand_sdk import PlantedModel

OTHERWISE = -1.0
"""Nat per token of a text that has no given one."""


def bare(text: str) -> str:
    """A text without case, spaces and special tokens: what stays the same when a tokenizer takes it apart."""
    return "".join(text.replace("[END]", "").split()).casefold()


def preferring(
    levels: Mapping[str, float], *, kind: Literal["causal", "masked"] = "causal", **rules: Any
) -> PlantedModel:
    """A model that gives each token of a text its level, in nat; `OTHERWISE` to texts that have none."""
    known = {bare(text): level for text, level in levels.items()}
    return PlantedModel(logp=lambda text: known.get(bare(text), OTHERWISE), kind=kind, **rules)

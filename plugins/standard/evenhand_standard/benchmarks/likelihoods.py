"""What several benchmarks do with log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evenhand_sdk.option_scores import Form


def fits(measured: Any, texts: Sequence[str]) -> bool:
    """Whether none of the texts is longer than the model's context."""
    return all(len(measured.ids(text)) <= measured.longest for text in texts)


def unit_of(form: Form) -> str:
    """The unit of a difference between two answers under a form of comparison."""
    return {"per_token": "nat per token", "per_character": "nat per character"}.get(form, "nat")


def log_mean_exp(values: Sequence[float]) -> float:
    """The log of the mean of probabilities, from their logs."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values) / len(values))

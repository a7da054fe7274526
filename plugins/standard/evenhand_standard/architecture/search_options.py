"""What every step that searches for a change by pairs of sentences can be told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evenhand_sdk import AxisName, Locale, StrengthOptions
from evenhand_standard.architecture.quality_bound import Quality


class SearchOptions(StrengthOptions):
    """Options of a search: by which pairs it chooses, and how much of the quality must be left."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    pairs: Annotated[int, Field(ge=1)] = Field(60, description="Pairs of sentences on which the gap is measured.")
    texts: Annotated[int, Field(ge=1)] = Field(
        400,
        description="Plain sentences on which quality is measured: up to 60 alone, of a masked model all in passages.",
    )
    samples: Annotated[int, Field(ge=1)] = Field(
        32, description="Texts that a causal model writes before, and on which its quality is measured."
    )
    quality: Quality | None = Field(
        None,
        description="Share of the quality that must be left, on sentences and on longer texts: perplexity before over "
        "after; without it, what the recipe's budget leaves.",
    )

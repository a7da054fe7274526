"""The options `axes` and `locale` that most mitigations share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


def _each_once(axes: tuple[str, ...]) -> tuple[str, ...]:
    if repeated := [axis for k, axis in enumerate(axes) if axis in axes[:k]]:
        raise ValueError(f"names {repeated[0]!r} twice")
    return axes


Axes = Annotated[
    tuple[str, ...],
    Field(min_length=1, description="Names of axis packs, or paths of TOML files."),
    AfterValidator(_each_once),
]
"""One or more axes, each once: their terms and counts are told apart by name."""
Locale = Annotated[str, Field(min_length=1, description="Language of the axis packs.")]

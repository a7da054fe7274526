"""Options that name parts of a benchmark: none and unknown ones are told with the recipe, before a model is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import AfterValidator


def among(known: Iterable[str], noun: str) -> AfterValidator:
    """Each name once, in the order given; raises ValueError for none and for an unknown one, with those that are
    known."""
    listed = tuple(known)

    def checked(names: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [f"there is no {noun} {name!r}" for name in names if name not in listed]
        if wrong or not names:
            raise ValueError(f"{[*wrong, f'no {noun} is named'][0]} (known: {', '.join(listed)})")
        return tuple(dict.fromkeys(names))

    return AfterValidator(checked)

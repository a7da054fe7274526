"""Options that are words: a text of nothing but blanks is a mistake, which would switch a rule off or leave it idle."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _worded(text: str) -> str:
    if not text.strip():
        raise ValueError("there is nothing but blanks: give words, or leave it out")
    return text


Worded = Annotated[str, AfterValidator(_worded)]
"""A text with at least one character that is no white space."""

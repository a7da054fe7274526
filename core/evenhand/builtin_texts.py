"""Texts that come with the toolkit: `builtin:everyday` and `builtin:templates` to train on, `builtin:heldout` to
measure perplexity on.

All of them were written for this project. What is trained on shares no topic and no phrase with `heldout`, and no
template, no occupation and no phrase with the held-out side of the pair bank; tests prove it.
"""

from __future__ import annotations

import hashlib
from importlib import resources

from evenhand.errors import DataNotFound
from evenhand.near_match import did_you_mean

PREFIX = "builtin:"

DESCRIPTIONS = {
    "everyday": "plain sentences about people and work, balanced over she, he and neither; for training",
    "templates": "the pair bank's training templates with its occupations, one group a line; for training",
    "heldout": "short coherent passages of general prose without people at work; only for perplexity",
    "prompts": "openings of a text, half of them about a person of one group; for generation and monitoring",
}
"""What each text is, and the one use it was written for."""


def names() -> list[str]:
    """The names of the packaged texts, sorted."""
    return sorted(DESCRIPTIONS)


def read(name: str) -> list[str]:
    """The lines of a packaged text in order, without blank ones; `name` may begin with `builtin:`.

    Raises DataNotFound with the near match and the list for an unknown name.
    """
    return [line for line in _text(name).splitlines() if line]


def passages(name: str) -> list[str]:
    """The blocks between blank lines, each joined to one string: for `heldout`, one coherent passage each."""
    return [" ".join(block.split("\n")) for block in _text(name).strip().split("\n\n")]


def unknown(name: str) -> DataNotFound:
    """The error for a name that no packaged text has, with the near match and the list."""
    return DataNotFound(
        f"no packaged text {name!r}",
        known=f"packaged texts: {', '.join(names())}{did_you_mean(name.removeprefix(PREFIX), names())}",
        do="name one of them, a file, a folder or a data set of the hub",
    )


def digest(name: str) -> str:
    """SHA-256 of the packaged text in UTF-8, in hexadecimal."""
    return hashlib.sha256(_text(name).encode()).hexdigest()


def _text(name: str) -> str:
    plain = name.removeprefix(PREFIX)
    if plain not in DESCRIPTIONS:
        raise unknown(name)
    return resources.files("evenhand").joinpath("texts", f"{plain}.txt").read_text(encoding="utf-8")

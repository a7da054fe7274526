"""Near matches: what somebody who mistyped a name probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near_match(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `word`, or None when none is like it."""
    names = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), list(names), n=1, cutoff=0.65)
    return names[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'strength'?`, or nothing: to be put behind a message."""
    match = near_match(word, known)
    return f"; did you mean {match!r}?" if match else ""

"""Whether an English adjective is said of a person whom most readers know by name: what that person is stays a fact.

The names are those of the gender pack and of `well_known.py`, which every axis shares: `American singer Lady Gaga`,
`Mozart was an Austrian composer`.
"""

from __future__ import annotations

import re

from evenhand_sdk.well_known import people_known_in

_PART = r"(?:[A-Z][\w.'’-]*|van|von|de|da|of|the)"
_NOUN_AND_NAME = re.compile(rf"(?:[ -][a-z][\w'’-]*|, ){{1,6}} ({_PART}(?: {_PART}){{0,4}})")
_NAME_AND_IS = re.compile(
    rf"({_PART}(?: {_PART}){{0,4}})(?: \([^()]{{0,90}}\))?,? (?:was|is|became|remains) "
    r"(?:an?|the|also|not|[a-z]+ly) (?:[\w-]+ ){0,3}\Z"
)
_REACH = 170


def is_said_of_famous(text: str, start: int, end: int) -> bool:
    """Whether a well-known name stands behind the noun of the adjective at text[start:end], or has it said of it."""
    behind = _NOUN_AND_NAME.match(text, end)
    if behind is not None and _begins_with_known(behind[1].split()):
        return True
    if text[max(0, start - 1) : start] != " ":
        return False
    before = _NAME_AND_IS.search(text, max(0, start - _REACH), start)
    return before is not None and _ends_with_known(before[1].split())


def _begins_with_known(words: list[str]) -> bool:
    return any(
        " ".join(words[:count]).removesuffix("'s").rstrip(".,") in people_known_in("en")
        for count in range(len(words), 0, -1)
    )


def _ends_with_known(words: list[str]) -> bool:
    return any(" ".join(words[place:]) in people_known_in("en") for place in range(len(words)))

"""Two English adjectives that are said of the same persons: `Jewish, not Christian`, `neither gay nor straight`.

The second one has the context of the first: where that is said of a person, so is this, and where one of them must stay
the other one stays, too, or a text about two groups would become one about the same group twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_JOINT = (
    r"(?:,? (?:and|or|nor|but|yet)(?: (?:not|also|rather|never))?|,? not|, never"
    r"|,? (?:rather than|instead of|as well as|though not|if not)|(?P<than> than))(?: (?:an?|half|part|partly|even))? "
)
_BETWEEN = re.compile(_JOINT, re.IGNORECASE)
_BEFORE = re.compile(rf"((?:[\w'’-]+ ){{0,2}}[\w'’-]+){_JOINT}\Z", re.IGNORECASE)
_COMPARED = re.compile(r"\b(?:more|less) [\w'’-]+\Z", re.IGNORECASE)
"""Before `than`: more French than German; not richer than poor countries."""
LONGEST_JOINT = 20
_REACH = 72
JOINING = frozenset(("and", "or", "nor", "but", "yet", "not", "never", "than", "of", "as", "if", "though"))
_FURTHER = frozenset(("rather", "instead", "well", "also", "half", "part", "partly", "even", "a", "an"))


def are_partners(text: str, end: int, start: int) -> bool:
    """Whether a conjunction, a negation or a comparison of two qualities stands between two words."""
    if not 3 < start - end <= LONGEST_JOINT:
        return False
    found = _BETWEEN.fullmatch(text, end, start)
    return found is not None and (found["than"] is None or _is_compared(text, end))


def partners_before(text: str, start: int, is_group_word: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """The spans before `start` that may be the partner of the adjective there, the longest words first."""
    found = _BEFORE.search(text, max(0, start - _REACH), start)
    if found is None or (found["than"] is not None and not _is_compared(text, found.end(1))):
        return
    begin, end = found.span(1)
    while True:
        if is_group_word(text[begin:end].lower()):
            yield begin, end
        space = text.find(" ", begin, end)
        if space < 0:
            return
        begin = space + 1


def without_partner(words: list[tuple[str, int]], is_adjective: Callable[[str], bool]) -> list[tuple[str, int]]:
    """The words before an adjective, nearest first, without its partners and what joins these to it."""
    place = 0
    while place < len(words) and words[place][0].lower() in JOINING | _FURTHER:
        place += 1
    joints = [word.lower() for word, _ in words[:place]]
    if place == len(words) or JOINING.isdisjoint(joints) or not is_adjective(words[place][0]):
        return words
    return without_partner(words[place + 1 :], is_adjective)


def _is_compared(text: str, end: int) -> bool:
    return _COMPARED.search(text, max(0, end - _REACH), end) is not None

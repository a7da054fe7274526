"""Whether an English noun says who somebody is that was mentioned before it: by a predicate, or beside the name.

Ann was a tall woman; Tom Hanks is an American actor and producer; Ann, the actress; Ann was born in London, the
daughter of.
"""

from __future__ import annotations

import re

from evenhand_sdk.english_persons import is_adjective, is_person_noun
from evenhand_sdk.english_words import FUNCTION_WORDS

_NAMES = r"(?: [A-Z][\w'’-]+){0,2}"
_BRACKETS = r"(?: \([^()]*\),?)?"
_IS = (
    r"(?:is|was|becomes|became|remains|remained|has been|had been|being|as) "
    r"(?:not |also |still |once |indeed |probably |considered )?"
    r"(?:(?:[a-z]+ )?(?:known|described|regarded|seen|remembered|recognised|recognized|hailed|billed) as )?"
)
_IDENTITY = re.compile(
    rf"{_NAMES}{_BRACKETS}(?:, (?:also |once |then |formerly )?|(?P<and> and (?:also )?)| {_IS})"
    r"(?:a|an|the)((?: (?:[a-z][\w-]*|[A-Z][\w-]*(?:an|ish|ese|ch|ic|born))){0,4}) "
)
"""Between a person and the noun that says who it is; of words with capitals those that end like peoples."""
_CHOSEN = re.compile(
    rf"{_NAMES}{_BRACKETS} (?:is|was|has been|had been) (?:[a-z]+ly |then |later )?"
    r"(?:elected|crowned|named|appointed|proclaimed|declared|made)(?: as)?(?: (?:an?|the))?((?: [a-z][\w-]*){0,3}) "
)
"""Between a person and what others make of that person (was elected king)."""
_SOMEBODYS = re.compile(rf"{_NAMES}{_BRACKETS} {_IS}(?:the )?[A-Z][^.;:()]{{0,60}}?['’]s?((?: [a-z][\w-]*){{0,4}}) ")
"""Between a person and a relative with its owner (she was Mike Wallace's second wife)."""
_BESIDE = re.compile(rf"{_NAMES}(?:, | \()")
_ALSO_CALLED = re.compile(
    r"(?: (?:is|was))?(?: [A-Z][\w'’-]+){0,3},? \(?"
    r"(?:born|née?|(?:[a-z]+ )?known(?: [a-z]+ly)? as|formerly|originally|nicknamed|real name) (?:[A-Z][\w'’-]+ ){0,2}"
)
"""Between two names of one person."""
_PREDICATE = re.compile(rf"{_NAMES}{_BRACKETS} {_IS}(?:an?|the)(?P<roles>(?: [^.;:()]*)? )")
"""Between a person and a noun, with what else the person is (is an American film director, writer, and actor)."""
_ROLES = re.compile(rf"[\w)] {_IS}(?:an?|the)(?P<roles> [^.;:()]{{1,120}})\Z")
"""Behind a verb, what somebody is (was an actor, the text goes on with: and a husband)."""
_NEXT_ROLE = re.compile(r"(?:,? (?:and|or|&)|,)(?: also)? (?P<role>[^.;:(),]*)")
_BETWEEN_ROLES = re.compile(r",? (?:and|or|&) (?:also )?|, ")
_ARTICLE = re.compile(r"\s*(?:an?|the) ")
_NO_NAME_BEHIND = re.compile(r"[\w'’-]++(?! [A-Z])")
_ENDS_CLAUSE = re.compile(r"[\w'’-]+(?:\s*\Z|[.,;:!?)]| (?:of|to|for|who)\b)")
_MOST_WORDS = 6
"""Of a description before its noun (an Academy Award-winning British character actor)."""
_BORN = re.compile(
    rf"{_NAMES}(?: \([^()]*\))?(?:,[^.;()]{{0,60}},|,)? (?:was|is) "
    r"(?:born|baptised|baptized|christened|raised|educated)\b(?![^.;()]* (?:to|by|with) )"
    r"[^.;()]{0,80}, (?:as )?(?:the|an?)(?: [a-z][\w-]*){0,4} "
)
"""Between a person and the relative that a sentence about a birth ends in (was born in London, the son of)."""
_SUBORDINATE = re.compile(
    r"\b(?:when|while|where|although|though|because|before|after|since|until|if|whose|school)\b[^.;:!?]*\Z",
    re.IGNORECASE,
)
"""Before a name, what makes its sentence part of another, of whose subject the relative is said."""
_TITLED = re.compile(r", \d{1,2}(?:st|nd|rd|th) [A-Z][a-z]+(?: of)? [A-Z][\w'’-]+\Z")
"""A peer behind a name, whom another comma closes off (Thomas Denman, 1st Baron Denman, was)."""
_LONGEST_TITLE = 48
_RELATED = re.compile(r"[\w-]+ (?:of|to)\b")
"""Behind `and`, what says whose relative the same person is (an actress and the sister of)."""
_LONGEST_DESCRIPTION = 140


def says_who(text: str, end: int, start: int) -> bool:
    """Whether the noun at `start` says who the person is that was mentioned up to `end`."""
    if start - end >= _LONGEST_DESCRIPTION:
        return False
    if text.startswith(", ", end) and _TITLED.search(text, max(0, end - _LONGEST_TITLE), end):
        end += 1  # Thomas Denman, 1st Baron Denman, was
    if _BORN.fullmatch(text, end, start):
        within = _SUBORDINATE.search(text, max(0, end - _LONGEST_DESCRIPTION), end)
        return within is None and _RELATED.match(text, start) is not None
    if _BESIDE.fullmatch(text, end, start) and _RELATED.match(text, start):
        return True  # Frances Abbott, daughter of
    chosen = _CHOSEN.fullmatch(text, end, start) or _SOMEBODYS.fullmatch(text, end, start)
    if chosen is not None and FUNCTION_WORDS.isdisjoint(chosen[1].split()):
        return True
    found = _IDENTITY.fullmatch(text, end, start)
    if found is None or FUNCTION_WORDS.intersection(found[2].split()):
        return _is_a_role(text, end, start) or _is_a_further_role(text, end, start)
    return found["and"] is None or _RELATED.match(text, start) is not None or _is_a_further_role(text, end, start)


def is_also_called(text: str, end: int, start: int) -> bool:
    """Whether the name at `start` is another one of the person named up to `end` (Pee Wee King, born Julius)."""
    return start - end < _LONGEST_DESCRIPTION and _ALSO_CALLED.fullmatch(text, end, start) is not None


def _is_a_role(text: str, end: int, start: int) -> bool:
    """X is an American film director, writer, and -> actor."""
    found = _PREDICATE.fullmatch(text, end, start)
    if found is None or _NO_NAME_BEHIND.match(text, start) is None:
        return False
    *others, own = _BETWEEN_ROLES.split(found["roles"])
    return _may_be_role(text, start, own, bool(others)) and all(map(_is_role, others))


def _is_a_further_role(text: str, end: int, start: int) -> bool:
    """X was an actor -> and a husband."""
    found = _NEXT_ROLE.fullmatch(text, end, start)
    if found is None or not _may_be_role(text, start, found["role"], True):
        return False
    before = _ROLES.search(text, max(0, end - _LONGEST_DESCRIPTION), end)
    return before is not None and all(map(_is_role, _BETWEEN_ROLES.split(before["roles"])))


def _may_be_role(text: str, start: int, described: str, further: bool) -> bool:
    """Whether the noun at `start` may end what somebody is; a further one with an article begins a clause, unless
    something ends it (an actor and a woman waited)."""
    article = _ARTICLE.match(described) if further else None
    if article and (_RELATED if "the" in article[0] else _ENDS_CLAUSE).match(text, start) is None:
        return False
    return _describes(described[article.end() :] if article else described)


def _is_role(text: str) -> bool:
    """Words that say what a person is: the last one is a noun for persons, or an adjective that is one of several."""
    article = _ARTICLE.match(text)
    words = text[article.end() if article else 0 :].split()
    if len(words) == 1 and is_adjective(words[0], bool):
        return True
    return bool(words) and is_person_noun(words[-1]) and _describes(" ".join(words[:-1]))


def _describes(text: str) -> bool:
    """Words that may stand before a noun."""
    words = text.split()
    return len(words) <= _MOST_WORDS and FUNCTION_WORDS.isdisjoint(word.lower() for word in words)

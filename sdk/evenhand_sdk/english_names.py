"""Whether a capitalised word is the first name of a person, and whom a name or a title names."""

from __future__ import annotations

import re
from collections.abc import Callable

from evenhand_sdk.english_capitals import GAP, LONGEST_HEADLINE, PEOPLES, SURNAMES, is_behind, word_before
from evenhand_sdk.english_neighbours import sentence_starts_at
from evenhand_sdk.english_person_words import (
    NAME_TITLES,
    OFFICES,
    SECOND_NAMES,
    TITLES_OF_SURNAMES,
)
from evenhand_sdk.english_words import FINITE_VERBS, FUNCTION_WORDS

_NEXT_PART = re.compile(r"(?:[ \u00a0\u202f]|\n)(?:[A-Z]\. ?)*([A-Z][^\W\d_]*['’]?[^\W\d_]+)")
_SECOND_PART = re.compile(r"([ \u00a0-])([A-Z][^\W\d_]+)")
_LOUD_NAME = re.compile(r"(\.?) ([A-Z][A-Z'’-]+)\b")
_NAME_OF_ONE = re.compile(r",? ")
_NAMES_OF_MANY = re.compile(r"[,:]? (?:[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)?(?:, and |, | and ))*")
_LONGEST_LIST_OF_NAMES = 80
_TITLE_BEFORE = re.compile(r"\b([A-Z][A-Za-z]+)\.? \Z")
_LONGEST_TITLE = 12
_NUMERAL = r"(?:the )?(?:II|III|IV|V|VI|VII|VIII|IX|X|XI|XII|XIII|XIV|XV|XVI|XVII|XVIII|I(?= of\b))(?![\w-]|\.\w)"
_NUMERAL_ALONE = _NUMERAL.replace(r"(?= of\b)", "")
_NOBLE = "(?:Earl|Count|Countess|Duke|Duchess|Marquess|Marquis|Baron|Baroness|Viscount|Viscountess|Prince|Princess)"
_SECOND_OF_RULERS = (
    " (?:Carlos|Emmanuel|Paul|Gustaf|Gustav|Philippe|Felipe|Frederick|Charles|Leopold|Albert|Joseph|Alexander)"
)
_RULER = re.compile(
    rf" {_NUMERAL}|{_SECOND_OF_RULERS} {_NUMERAL_ALONE}| of [A-Z]\w{{2,}}"
    r"|,? the (?:Great|Elder|Younger|Conqueror|Confessor|Terrible|Bald|Bold|Pious|Good)\b"
    rf"|{SURNAMES},? (?:the )?(?:\d{{1,2}}(?:st|nd|rd|th) {_NOBLE}|{_NOBLE} of [A-Z]\w+)"
)
_OF_SCRIPTURE = frozenset((
    "Paul", "Peter", "James", "John", "Andrew", "Philip", "Bartholomew", "Thomas", "Matthew", "Simon", "Judas", "Jude",
    "Mark", "Luke", "Mary", "Joseph", "Martha", "Lazarus", "Stephen", "Timothy", "Titus", "Barnabas", "Silas",
))  # fmt: skip
"""Names by which scripture knows its people, where Jesus is spoken of and no surname follows."""
_NEAR_JESUS = 300
_JESUS = re.compile(r"\b(?:Jesus|Christ|[Aa]postles?|[Dd]isciples)\b")
_OWN = re.compile(r"\b(?:my|our|your)\s+(?:[\w-]+\s+){1,3}\Z", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:(?:an?|one|another|some) (?:[\w-]+ ){1,2}(?:named|called|surnamed)|name (?:is|was)) \Z")
_PLACES = frozenset(("in", "near", "at", "around", "outside"))


def is_first_name(text: str, start: int, end: int, is_name: Callable[[str], bool]) -> bool:
    """The first of the capitalised words, or a middle name behind a listed one; no surname (Lloyd George), and no half
    of a double name whose other half is not listed (Anne-Marie)."""
    behind = _SECOND_PART.match(text, end)
    if behind is not None and _are_double(behind[1], behind[2]) and not is_name(behind[2].lower()):
        return False
    if text.startswith(", ", end) and text[end + 2 : end + 3].isupper() and is_behind(text, start, _PLACES):
        return False  # in Jerome, Arizona
    if text[max(0, start - 4) : start] == "the " and text[end : end + 1] in (",", ".", ";", ")", ""):
        return False  # a people or a thing: the Jing, the Vietnamese of China
    if text[start:end] in _OF_SCRIPTURE and not bears_surname(text, end) and _beside_jesus(text, start, end):
        return False
    before = word_before(text, start)
    if is_first_name_so_far(text, start):
        return not (before.isupper() and len(before) > 1 and is_name(before.lower()))  # ELTON JOHN
    if is_name(before.lower()) and _are_double(text[start - 1], text[start:end]):
        return True
    if not bears_surname(text, end):
        return False
    return bool(before) and (is_name(before.lower()) or before.endswith(PEOPLES))


def _beside_jesus(text: str, start: int, end: int) -> bool:
    return _JESUS.search(text, max(0, start - _NEAR_JESUS), end + _NEAR_JESUS) is not None


def _are_double(between: str, second: str) -> bool:
    """Whether a first name and the capitalised word behind it are one name: Anne-Marie, Mary Beth; not Keith Thomas."""
    return between == "-" or second in SECOND_NAMES


def is_title(text: str, start: int, end: int) -> bool:
    """Whether a title in capital letters stands before a name in capitals: MR. SMITH, and MS BROWN in a line of
    capitals; no degree, no disease and no brand (an MS in law, MS patients, MS Word)."""
    found = _LOUD_NAME.match(text, end)
    if found is None or found[2].lower() in FUNCTION_WORDS or found[2].lower() in FINITE_VERBS:
        return False
    if found[1]:
        return True
    before = text[
        max(text.rfind("\n", max(0, start - LONGEST_HEADLINE), start) + 1, start - LONGEST_HEADLINE, 0) : start
    ]
    line = before + text[end : end + LONGEST_HEADLINE].split("\n", 1)[0]
    return line.upper() == line


def names_whom(text: str, end: int, start: int, *, many: bool) -> bool:
    """Whether a name stands in apposition to the noun that ends at `end`: his wife Mary; her sons, Tom and Jack."""
    if start - end > _LONGEST_LIST_OF_NAMES:
        return False
    return (_NAMES_OF_MANY if many else _NAME_OF_ONE).fullmatch(text, end, start) is not None


def bears_surname(text: str, end: int) -> bool:
    """Whether a capitalised word that may be a surname follows, as in Mary Hill; not Mary I, Mary Said or MARY HILL."""
    found = _NEXT_PART.match(text, end)
    if found is None or found[1].isupper():
        return False
    lowered = found[1].lower()
    return lowered not in FUNCTION_WORDS and lowered not in FINITE_VERBS


def named_as_ruler(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span of a first name with what says that history knows its bearer: Edward IV, Isabella of France, Roger
    Mortimer, 1st Earl of March."""
    if text[end : end + 1] not in (" ", ","):
        return None
    found = _RULER.match(text, end)
    return (start, found.end()) if found else None


def is_surname_behind_title(text: str, start: int, end: int) -> bool:
    """Whether the word is what somebody is called behind a title: Dr. King, Mrs Prince; not Mr. Chairman, Rev.
    Mother."""
    found = _TITLE_BEFORE.search(text, max(0, start - _LONGEST_TITLE), start)
    if found is None or found[1].lower() not in TITLES_OF_SURNAMES:
        return False
    word = text[start:end].lower()
    return not (word.endswith("man") and len(word) > 5) and word not in ("mother", "father", "sister", "brother")


def is_namesake(text: str, start: int) -> bool:
    """Whether a name is given as that of somebody whom the reader does not know: a man named Lincoln."""
    return _NAMED.search(text, max(0, start - 40), start) is not None


def is_of_the_writer(text: str, start: int) -> bool:
    """Whether a first name says who a noun means that is the writer's or the reader's own: my old uncle Michael."""
    return _OWN.search(text, max(0, start - 60), start) is not None


def is_first_name_so_far(text: str, start: int) -> bool:
    """No surname, judged from what stands before."""
    if start < 2 or text[start - 1] not in GAP or text[start - 1] == "-" and not text[start - 2].isalpha():
        return True
    token = text[max(0, start - 40) : start - 1].rsplit(None, 1)
    before = token[-1] if token and not text[start - 2].isspace() else ""
    if not before or not before[-1].isalpha():
        initial = len(before) == 2 and before[0].isupper() and before[1] == "."
        return not initial or before[0] == "I"
    before = before.lstrip("\"“‘'(*_[")
    if not before[:1].isupper():
        return True
    if before.isupper() and len(before) > 1:
        return len(before) > 3 or text[start + 1 : start + 2].isupper() or before in OFFICES  # TJ Hassan
    word = before.lower()
    if word in NAME_TITLES or word in FUNCTION_WORDS or "'" in word or "’" in word:
        return True
    return sentence_starts_at(text, start - 1 - len(before)) and (
        len(word) > 6 and word.endswith(("ally", "edly", "tely", "ntly", "usly", "ing", "ed"))
    )

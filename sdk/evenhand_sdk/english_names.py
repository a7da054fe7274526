"""Whether a capitalised word is the first name of a person, or part of the name of a thing, a place or a team."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from evenhand_sdk.english_acronyms import in_abbreviated_name
from evenhand_sdk.english_neighbours import sentence_starts_at
from evenhand_sdk.english_person_words import (
    NAME_TITLES,
    NAMED_THINGS,
    OFFICES,
    SECOND_NAMES,
    SURNAME_THINGS,
    THING_NOUNS,
    TITLES_OF_SURNAMES,
)
from evenhand_sdk.english_words import FINITE_VERBS, FUNCTION_WORDS

_NEXT_CAPITAL = re.compile(r"\.?(?:['’]s?)?(?: (?:of|for|the|&|de|la))*[ -]([A-Z][\w.]*)")
_LONGEST_NAME = 6
_PEOPLES = ("ican", "ish", "ese", "nian", "lian", "dian", "gian", "ssian", "man", "ench", "utch")
"""Endings of adjectives of peoples, which may stand before a whole name (the American Mary Miller)."""
_GAP = frozenset(" -\n\t\u00a0\u202f")
"""What may stand between two parts of one name: a space of any kind, a hyphen, or the end of a line."""
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
_SURNAMES = r"(?: (?!of\b)[^\W\d_a-z][\w'’-]+){0,3}"
_SECOND_OF_RULERS = (
    " (?:Carlos|Emmanuel|Paul|Gustaf|Gustav|Philippe|Felipe|Frederick|Charles|Leopold|Albert|Joseph|Alexander)"
)
_RULER = re.compile(
    rf" {_NUMERAL}|{_SECOND_OF_RULERS} {_NUMERAL_ALONE}| of [A-Z]\w{{2,}}"
    r"|,? the (?:Great|Elder|Younger|Conqueror|Confessor|Terrible|Bald|Bold|Pious|Good)\b"
    rf"|{_SURNAMES},? (?:the )?(?:\d{{1,2}}(?:st|nd|rd|th) {_NOBLE}|{_NOBLE} of [A-Z]\w+)"
)
_KINDS = (
    "village hamlet town city suburb neighbourhood neighborhood municipality commune parish county district borough "
    "township settlement community river lake stream island mountain peak hill valley park station airport road street "
    "novel film movie album song single opera play musical series sitcom episode magazine newspaper comic book band "
    "company brand label restaurant hotel school college university ship racehorse horse dog cat genus species crater "
    "asteroid software language"
)
_IS_THING = re.compile(
    rf"{_SURNAMES}(?: \([^()]{{0,90}}\))?,? (?:is|was) (?:an?|the|one of the) "
    r"(?:(?!(?:of|in|for|by|to|at|from|on|with|who|that|whose)\b)[\w'’-]+ ){0,6}?"
    rf"(?:{_KINDS.replace(' ', '|')})s?(?: and (?:civil parish|municipality))?(?=[.,;:]|$"
    r"| (?:in|of|on|by|near|from|for|that|which|located|situated|based|directed|written|released|published|founded"
    r"|recorded|formed|created)\b)"
)
"""What tells of a name before it that it is no person's: Leonard Stanley is a small village in Gloucestershire."""
_PLACE_OF = re.compile(
    r"\b(?:village|hamlet|town|city|suburb|parish|municipality|commune|borough|township|settlement|county|island|district"
    r"|province|state|port|kingdom|archipelago) of (?:[A-Z]\w+ ){0,2}\Z"
)
_LONGEST_PLACE = 60
_DISTRICT = re.compile(
    r"(?: (?!and\b)[^\W\d_a-z][\w'’-]+){0,2} (?:county|counties|province|prefecture|oblast|parish|township|district)\b"
    r"(?! \w+er\b)"
)
"""Behind the name of a district: Todd counties, Thanh Hóa province."""
_COLOURS = frozenset(("White", "Black"))
_NEXT_NAME = re.compile(r" ([A-Z][a-z]+)\b")
_SCRIPTURE = frozenset(("Samuel", "Kings", "Ezra", "Peter", "John", "Timothy", "Enoch", "Baruch"))
_OF_SCRIPTURE = frozenset((
    "Paul", "Peter", "James", "John", "Andrew", "Philip", "Bartholomew", "Thomas", "Matthew", "Simon", "Judas", "Jude",
    "Mark", "Luke", "Mary", "Joseph", "Martha", "Lazarus", "Stephen", "Timothy", "Titus", "Barnabas", "Silas",
))  # fmt: skip
"""Names by which scripture knows its people, where Jesus is spoken of and no surname follows."""
_NEAR_JESUS = 300
_JESUS = re.compile(r"\b(?:Jesus|Christ|[Aa]postles?|[Dd]isciples)\b")
_AS_NAMES = frozenset(("Finn", "Dane", "Scot", "Pole", "Brit", "Turk", "Frenchie"))
"""Words for one person of a people that are names, too, where no determiner stands before them."""
_BEFORE_ONE = re.compile(
    r"(?:\b(?:an?|the|one|another|this|that|each|every|no|as|fellow|half|[a-z]+(?:ed|an|ish|ic|al|ng|er)|first|old|only)"
    r"|-|\d(?:st|nd|rd|th)?)[ -]?\Z",
    re.IGNORECASE,
)
_LONGEST_BEFORE_ONE = 24
_CAUSE = re.compile(r"(?: [A-Z][a-z]+){1,3} (?:for|[Aa]gainst|In|Without) (?:the )?[A-Z]")
"""Behind the first word of an association's name: American Jews for Alternatives to Zionism."""
_OF_A_COUNTRY = frozenset(("African", "Africans"))
"""Behind `South` of a nation, which has groups of every race."""
_BOOK_NUMBER = re.compile(r"(?<!\w)(?:[1-5]|II|III) \Z")
"""Before the name of a book of scripture, of which there are several (1 Samuel)."""
_LONGEST_BOOK_NUMBER = 8
_OF_NAME = re.compile(r" of (?:the )?[A-Z]")
_FESTIVALS = frozenset(("Easter", "Christmas"))
_PLACE_BEHIND = re.compile(
    r" (?!(?:Sunday|Monday|Tuesday|Friday|Saturday|Day|Eve|Week|Mass|Morning|Night|Party|Dinner|Tree|Carols?|Holidays?"
    r"|Vigil|Break|Season|Services?)\b)[A-Z][a-z]+"
)
_NAMED = re.compile(r"\b(?:(?:an?|one|another|some) (?:[\w-]+ ){1,2}(?:named|called|surnamed)|name (?:is|was)) \Z")
_NEXT_WORD = re.compile(r" ([a-z]+)")
_WORDS = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ORDER = re.compile(
    r"(?:Sisters|Brothers|Sons|Daughters|Fathers|Mothers|Ladies|Knights|Women|Men|Boys|Girls) of (?:the )?[A-Z]"
)
"""Orders and leagues (Sisters of Mercy)."""
_PART_OR_LEGEND = re.compile(r"(?:Queen|King|Prince|Princess|Lady|Lord|Man|Woman|Boy|Girl) of the [A-Z][a-z]+")
"""Figures and parts whose name ends in a thing (Queen of the Night)."""
_OFFICE = re.compile(r"[A-Z][a-z]+(?:man|woman|person|men|women) (?:of|for|and) ")
"""Offices, which somebody holds (Chairman of the Board)."""
_PLACE_OF_KINGS = re.compile(r"(?:Kings|Queens|Princes) [A-Z][a-z]")
_BEARER = re.compile(r"\b[A-Z][\w'’-]+ of \Z")
_LONGEST_BEARER = 40
_RANKS = frozenset(("King", "Queen", "Prince", "Princess"))
"""What bands and labels are called, too."""
_INSTITUTION = re.compile(r"\b([A-Z][a-z]+) (?:of|for)(?: the)? \Z")
_LONGEST_INSTITUTION = 40
_LONGEST_HEADLINE = 120
_PLACES = frozenset(("in", "near", "at", "around", "outside"))
_PLACE_PREPOSITIONS = frozenset(("in", "at", "near", "on", "to", "from", "of", "around", "the"))


def is_first_name(text: str, start: int, end: int, is_name: Callable[[str], bool]) -> bool:
    """The first of the capitalised words, or a middle name behind a listed one; no surname (Lloyd George), and no half
    of a double name whose other half is not listed (Anne-Marie)."""
    behind = _SECOND_PART.match(text, end)
    if behind is not None and _are_double(behind[1], behind[2]) and not is_name(behind[2].lower()):
        return False
    if text.startswith(", ", end) and text[end + 2 : end + 3].isupper() and _behind(text, start, _PLACES):
        return False  # in Jerome, Arizona
    if text[max(0, start - 4) : start] == "the " and text[end : end + 1] in (",", ".", ";", ")", ""):
        return False  # a people or a thing: the Jing, the Vietnamese of China
    if text[start:end] in _OF_SCRIPTURE and not bears_surname(text, end) and _beside_jesus(text, start, end):
        return False
    before = _word_before(text, start)
    if is_first_name_so_far(text, start):
        return not (before.isupper() and len(before) > 1 and is_name(before.lower()))  # ELTON JOHN
    if is_name(before.lower()) and _are_double(text[start - 1], text[start:end]):
        return True
    if not bears_surname(text, end):
        return False
    return bool(before) and (is_name(before.lower()) or before.endswith(_PEOPLES))


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
        max(text.rfind("\n", max(0, start - _LONGEST_HEADLINE), start) + 1, start - _LONGEST_HEADLINE, 0) : start
    ]
    line = before + text[end : end + _LONGEST_HEADLINE].split("\n", 1)[0]
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


def names_a_cause(text: str, end: int) -> bool:
    """Whether the capitals go on to what an association is for: American Jews for Alternatives to Zionism."""
    return _CAUSE.match(text, end) is not None


def named_as_ruler(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span of a first name with what says that history knows its bearer: Edward IV, Isabella of France, Roger
    Mortimer, 1st Earl of March."""
    if text[end : end + 1] not in (" ", ","):
        return None
    found = _RULER.match(text, end)
    return (start, found.end()) if found else None


def in_name_of_thing(text: str, start: int, end: int, *, common: bool) -> bool:
    """Part of a name that ends in a noun for a thing (Women's Institute), or of a team or place (Sacramento Kings)."""
    if in_abbreviated_name(text, start) or text[max(0, start - 4) : start] == "All-":
        return True
    if text[start:end] in _OF_A_COUNTRY and text[max(0, start - 6) : start] in ("South ", "South-"):
        return True
    if text.startswith(":", end) and text[max(0, start - 1) : start] == "(":
        return True  # a language, before a word of it
    if text[start:end] in _AS_NAMES and not _BEFORE_ONE.search(text, max(0, start - _LONGEST_BEFORE_ONE), start):
        return True
    if text[start - 2 : start] == "& " or (
        text[max(0, start - 3) : start] in ("of ", "or ", "he ")
        and text[start].isupper()
        and _behind_institution(text, start)
    ):
        return True
    if text[start:end] in THING_NOUNS and _behind_capital(text, start):
        return True
    if is_headline(text, start):
        return False
    if text[start:end] in _SCRIPTURE and _BOOK_NUMBER.search(text, max(0, start - _LONGEST_BOOK_NUMBER), start):
        return True
    if text[start:end] in THING_NOUNS and _OF_NAME.match(text, end):
        return True
    if text[start:end] in _FESTIVALS and _PLACE_BEHIND.match(text, end):
        return True
    if text[start:end] == "Church" and text[max(0, start - 4) : start].lower() == "the ":
        return True  # the whole of it, and no building
    if text[start:end] in _COLOURS and _behind_capital(text, start) and _in_a_club(text, start, end):
        return True
    if not common and _DISTRICT.match(text, end):
        return True
    if not common and (
        _IS_THING.match(text, end) or _PLACE_OF.search(text, max(0, start - _LONGEST_PLACE), start) is not None
    ):
        return True
    if common and _OFFICE.match(text, start):
        return False
    if text[start:end] in _RANKS and _behind_bearer(text, start, end):
        return True
    if common and (
        _ORDER.match(text, start) or _PART_OR_LEGEND.match(text, start) or _PLACE_OF_KINGS.match(text, start)
    ):
        return True
    place, surname = end, True
    for _ in range(_LONGEST_NAME):
        found = _NEXT_CAPITAL.match(text, place)
        if found is None:
            break
        word = found[1].rstrip(".")
        if text.startswith(" & ", place):
            return True
        if word in THING_NOUNS:
            direct = place == end
            if (
                word not in SURNAME_THINGS
                or not direct
                or text[end - 1] == "s"
                and text[end - 2] in "'’"
                or _behind(text, start, _PLACE_PREPOSITIONS)
            ):
                return True
        place = found.end()
        surname = False
    if common and surname and not text[start:end].isupper():
        return _behind_capital(text, start)
    return not common and place > end and _thing_behind(text, start, place)


def _in_a_club(text: str, start: int, end: int) -> bool:
    """Whether a colour stands between two other words of a name (Seaham White Star; not Young Black Americans)."""
    found = _NEXT_NAME.match(text, end)
    if (
        found is None
        or found[1].rstrip("s").endswith(_PEOPLES)
        or found[1].rstrip("s").endswith(("an", "male", "people"))
    ):
        return False
    return found[1].lower() not in FUNCTION_WORDS and not sentence_starts_at(
        text, start - len(_word_before(text, start)) - 1
    )


def is_surname_behind_title(text: str, start: int, end: int) -> bool:
    """Whether the word is what somebody is called behind a title: Dr. King, Mrs Prince; not Mr. Chairman, Rev.
    Mother."""
    found = _TITLE_BEFORE.search(text, max(0, start - _LONGEST_TITLE), start)
    if found is None or found[1].lower() not in TITLES_OF_SURNAMES:
        return False
    word = text[start:end].lower()
    return not (word.endswith("man") and len(word) > 5) and word not in ("mother", "father", "sister", "brother")


def _thing_behind(text: str, start: int, end: int) -> bool:
    """Whether a thing has the name: `the` before it, a noun for no person behind it (the Walter Reed hospital)."""
    if text[max(0, start - 4) : start].lower() != "the ":
        return False
    found = _NEXT_WORD.match(text, end)
    return found is not None and found[1] in NAMED_THINGS


def _behind_bearer(text: str, start: int, end: int) -> bool:
    """Whether a rank without a name is what somebody or something is of (Freddie Mercury of Queen; not House of Queen
    Anne)."""
    if _NEXT_CAPITAL.match(text, end):
        return False
    return _BEARER.search(text, max(0, start - _LONGEST_BEARER), start) is not None


def _behind_institution(text: str, start: int) -> bool:
    """Whether the word ends the name of an institution (School for the Deaf, Institute of Blind People)."""
    found = _INSTITUTION.search(text, max(0, start - _LONGEST_INSTITUTION), start)
    return found is not None and found[1] in THING_NOUNS


@lru_cache(maxsize=4096)
def _is_title_case(line: str) -> bool:
    words = _WORDS.findall(line)
    long = [word for word in words if len(word) > 3]
    small = [word for word in words[1:] if word.lower() in FUNCTION_WORDS or word.lower() in FINITE_VERBS]
    return (
        4 <= len(words) <= 16
        and len(long) > 2
        and all(word[0].isupper() for word in long)
        and ("," not in line)
        and any(word[0].isupper() for word in small)
    )


def is_namesake(text: str, start: int) -> bool:
    """Whether a name is given as that of somebody whom the reader does not know: a man named Lincoln."""
    return _NAMED.search(text, max(0, start - 40), start) is not None


def is_headline(text: str, start: int) -> bool:
    """Whether the line is written with capitals throughout, so that a capital says nothing of a name."""
    begin = text.rfind("\n", max(0, start - _LONGEST_HEADLINE), start) + 1
    if not begin and start >= _LONGEST_HEADLINE:
        return False
    end = text.find("\n", start, start + _LONGEST_HEADLINE)
    if end < 0:
        if len(text) > start + _LONGEST_HEADLINE:
            return False
        end = len(text)
    return end - begin < _LONGEST_HEADLINE and text[end - 1] != "." and _is_title_case(text[begin:end])


def _behind_capital(text: str, start: int) -> bool:
    before = _word_before(text, start)
    return before[:1].isupper() and before.lower() not in NAME_TITLES


def _behind(text: str, start: int, words: frozenset[str]) -> bool:
    return _word_before(text, start) in words


def _word_before(text: str, start: int) -> str:
    """The word before `start` with one space or hyphen between; empty when something else stands there."""
    if start < 2 or text[start - 1] not in _GAP:
        return ""
    place = start - 2
    while place >= 0 and text[place].isalnum():
        place -= 1
    return text[place + 1 : start - 1]


def is_first_name_so_far(text: str, start: int) -> bool:
    """No surname, judged from what stands before."""
    if start < 2 or text[start - 1] not in _GAP or text[start - 1] == "-" and not text[start - 2].isalpha():
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

"""Whether a capitalised word is part of the name of a thing, a place, a team or an association."""

from __future__ import annotations

import re

from evenhand_sdk.english_acronyms import in_abbreviated_name
from evenhand_sdk.english_capitals import PEOPLES, SURNAMES, is_behind, is_behind_capital, is_headline, word_before
from evenhand_sdk.english_neighbours import sentence_starts_at
from evenhand_sdk.english_person_words import (
    NAMED_THINGS,
    SURNAME_THINGS,
    THING_NOUNS,
)
from evenhand_sdk.english_words import FUNCTION_WORDS

_NEXT_CAPITAL = re.compile(r"\.?(?:['’]s?)?(?: (?:of|for|the|&|de|la))*[ -]([A-Z][\w.]*)")
_LONGEST_NAME = 6
_KINDS = (
    "village hamlet town city suburb neighbourhood neighborhood municipality commune parish county district borough "
    "township settlement community river lake stream island mountain peak hill valley park station airport road street "
    "novel film movie album song single opera play musical series sitcom episode magazine newspaper comic book band "
    "company brand label restaurant hotel school college university ship racehorse horse dog cat genus species crater "
    "asteroid software language"
)
_IS_THING = re.compile(
    rf"{SURNAMES}(?: \([^()]{{0,90}}\))?,? (?:is|was) (?:an?|the|one of the) "
    r"(?:(?!(?:of|in|for|by|to|at|from|on|with|who|that|whose|behind|beside|beyond|about|before|after|against|the|an?"
    r"|his|her|their|its)\b)[\w'’-]+ ){0,6}?"
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
_NEXT_WORD = re.compile(r" ([a-z]+)")
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
_PLAYS = re.compile(
    r" (?:(?:has|have|had|then|also|later|first) )?(?:released?|recorded|toured|disbanded|reunited|headlined|covered)\b"
)
"""Behind a rank without a name, what bands do: Queen released an album."""
_IS_SOMEBODY = re.compile(r" (?:is|was|became) an? ")
"""Behind a rank without an article, what is said of somebody called so: Prince was a musician."""
_INSTITUTION = re.compile(r"\b([A-Z][a-z]+) (?:of|for)(?: the)? \Z")
_LONGEST_INSTITUTION = 40
_EDITION = re.compile(r"(?:-[Oo]nly| (?:Bible|Version|Only)(?: \w+)?)\b")
"""Behind a king, the text that is called after him: the King James Version."""
_THING_OF = re.compile(
    r"(?<=[\w,;)] )(?!(?:Father|Mother|Son|Daughter|Brother|Sister|Bride|Groom|King|Queen|Prince|Princess|Lady|Lord"
    r"|Wife|Husband|Captain|Head|Leader)\b)[A-Z][a-z]+ of the \Z"
)
"""Before the last word of a name (Sunburned Hand of the Man)."""
_NAMED_FOR = frozenset(("Man", "Woman", "Boy", "Girl", "Men", "Women", "Boys", "Girls"))
_LONGEST_THING_OF = 32
_PLACE_PREPOSITIONS = frozenset(("in", "at", "near", "on", "to", "from", "of", "around", "the"))


def names_a_cause(text: str, end: int) -> bool:
    """Whether the capitals go on to what an association is for: American Jews for Alternatives to Zionism."""
    return _CAUSE.match(text, end) is not None


def in_name_of_thing(text: str, start: int, end: int, *, common: bool) -> bool:
    """Part of a name that ends in a noun for a thing (Women's Institute), or of a team or place (Sacramento Kings)."""
    if in_abbreviated_name(text, start) or text[max(0, start - 4) : start] == "All-":
        return True
    if _EDITION.match(text, end):
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
    if text[start:end] in THING_NOUNS and is_behind_capital(text, start):
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
    if text[start:end] in _COLOURS and is_behind_capital(text, start) and _in_a_club(text, start, end):
        return True
    if not common and _DISTRICT.match(text, end):
        return True
    if not common and (
        _IS_THING.match(text, end) or _PLACE_OF.search(text, max(0, start - _LONGEST_PLACE), start) is not None
    ):
        return True
    if common and _OFFICE.match(text, start):
        return False
    if text[start:end] in _NAMED_FOR and _THING_OF.search(text, max(0, start - _LONGEST_THING_OF), start):
        return True
    if text[start:end] in _RANKS and (_behind_bearer(text, start, end) or _plays(text, start, end)):
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
                or is_behind(text, start, _PLACE_PREPOSITIONS)
            ):
                return True
        place = found.end()
        surname = False
    if common and surname and not text[start:end].isupper():
        return is_behind_capital(text, start)
    return not common and place > end and _thing_behind(text, start, place)


def _in_a_club(text: str, start: int, end: int) -> bool:
    """Whether a colour stands between two other words of a name (Seaham White Star; not Young Black Americans)."""
    found = _NEXT_NAME.match(text, end)
    if (
        found is None
        or found[1].rstrip("s").endswith(PEOPLES)
        or found[1].rstrip("s").endswith(("an", "male", "people"))
    ):
        return False
    return found[1].lower() not in FUNCTION_WORDS and not sentence_starts_at(
        text, start - len(word_before(text, start)) - 1
    )


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


def _plays(text: str, start: int, end: int) -> bool:
    """Whether a rank without a name and without *the* does what bands do, or is the whole subject, as a name is."""
    if sentence_starts_at(text, start) and _IS_SOMEBODY.match(text, end):
        return True
    return _PLAYS.match(text, end) is not None and word_before(text, start).lower() != "the"


def _behind_institution(text: str, start: int) -> bool:
    """Whether the word ends the name of an institution (School for the Deaf, Institute of Blind People)."""
    found = _INSTITUTION.search(text, max(0, start - _LONGEST_INSTITUTION), start)
    return found is not None and found[1] in THING_NOUNS

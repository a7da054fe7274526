"""Whom an English text names by a rank and a place, or by a number: the Duke of Aosta, Countess of Artois, Guy II.

Such persons are known to history, and what they are called tells their sex. Where a sentence gives somebody the rank
(she became queen of Castile), it states a fact of that person's life.
"""

from __future__ import annotations

import re

from evenhand_sdk.english_words import FUNCTION_WORDS
from evenhand_sdk.grammar import Span

_RANKS = (
    "king queen emperor empress duke duchess archduke archduchess count countess earl prince princess marquess marquis "
    "marchioness baron baroness viscount viscountess margrave landgrave sultan tsar tsarina czar caliph shah emir"
)
_NUMERALS = "ii iii iv vi vii viii ix xi xii xiii xiv xv xvi xvii xviii"
RANK_WORDS = frozenset(f"{_RANKS} {_NUMERALS} baronet majesty highness holiness".split())
"""Parts of a text in lower case, without which nobody is named so."""

_RANK = "|".join(f"[{rank[0].upper()}{rank[0]}]{rank[1:]}" for rank in _RANKS.split())
_NUMERAL = _NUMERALS.upper().replace(" ", "|")
_NAME = r"[A-Z][^\W\d_]+(?:['’-][^\W\d_]+)*"
_PLACE = r" of (?:the (?=[A-Z]\w+s\b))?[A-Z][^\W\d_]+(?:-[^\W\d_]+)*"
_RANKED = re.compile(rf"\b(?:{_RANK})(?: {_NAME}(?: (?:{_NUMERAL}|I))?)?{_PLACE}")
_BEFORE = re.compile(
    rf"(?:\b{_NAME}(?: (?:{_NAME}|of|de|von|van|[IVX]\b))*(?: \([^()]*\))?,? )?"
    r"(?:the )?(?:then |late )?(?:\d{1,2}(?:st|nd|rd|th) )?(?:(?:Grand|Dowager|Crown) )?\Z"
)
_GIVEN = re.compile(
    r"\b(?:became|becomes?|becoming|was|is|being|as|made|crowned|created|proclaimed|declared|elected|named|titled?"
    r"|(?:elevated|raised|succeeded|acceded) to)"
    r"(?: also)? (?:the |a )?(?:new |last |first |next |then |\d{1,2}(?:st|nd|rd|th) )?(?:(?:Grand|Crown) )?\Z"
)
_PEER = re.compile(rf"\b\d{{1,2}}(?:st|nd|rd|th) (?:{_RANK}|[Bb]aronet)(?: (?:de|von))? {_NAME}")
"""Somebody with the number of a title (Thomas Denman, 1st Baron Denman)."""
_STYLED = re.compile(
    r"\b[Hh](?:is|er) (?:[Rr]oyal |[Ii]mperial |[Ss]erene )?(?:[Mm]ajesty|[Hh]ighness),? (?:the )?(?:(?:Crown|Grand) )?"
    rf"(?:{_RANK}) {_NAME}(?: {_NAME})*"
)
"""Somebody named behind a form of address (His Majesty King Carl Gustaf)."""
_HOLY = re.compile(rf"\b[Hh]is Holiness\b(?:,? (?:the )?(?:(?:Pope|Patriarch|Catholicos)\b )?{_NAME}(?: {_NAME})*)?")
"""A head of a church (His Holiness Patriarch Filaret)."""
_NUMBER = re.compile(rf" (?:{_NUMERAL})\b(?![-.]\w)")
_NUMBERED = re.compile(rf"\b(?:(?:{_RANK}|[Pp]ope) )?({_NAME})\Z")
_NAME_BEFORE = re.compile(rf"\b({_NAME}|[A-Z]\.) \Z")
_ORDERED = (
    "War Wars Part Chapter Volume Act Type Phase Class Title Article Section Division Group Mark Model Book Level "
    "Stage Grade Tier Series Season Episode Bowl Olympiad Olympics Schedule Appendix Table Figure Scene Corps Army "
    "Region Zone District Category Factor Vatican Vol Pt Mk Symphony Concerto Sonata Quartet Opus Round Legion"
)
_COUNTED = frozenset(_ORDERED.split())
"""Things of which there are several in order, and no persons (World War II)."""
_REACH = 80


def rulers(text: str) -> tuple[list[Span], list[Span]]:
    """The phrases that name somebody by rank or number, and the ranks that a sentence gives to somebody."""
    named: list[Span] = []
    given: list[Span] = []
    for found in _RANKED.finditer(text) if " of " in text else ():
        start = found.start()
        if _GIVEN.search(text, max(0, start - _REACH), start):
            given.append(found.span())
            continue
        name = _BEFORE.search(text, max(0, start - _REACH), start)
        named.append((name.start() if name else start, found.end()))
    for found in _PEER.finditer(text):
        if _GIVEN.search(text, max(0, found.start() - _REACH), found.start()):
            given.append(found.span())
            continue
        name = _BEFORE.search(text, max(0, found.start() - _REACH), found.start())
        named.append((name.start() if name else found.start(), found.end()))
    if "ajesty" in text or "ighness" in text:
        named += [found.span() for found in _STYLED.finditer(text)]
    if "Holiness" in text:
        named += [found.span() for found in _HOLY.finditer(text)]
    for number in _NUMBER.finditer(text):
        holder = _NUMBERED.search(text, max(0, number.start() - _REACH), number.start())
        if holder is None or holder[1] in _COUNTED:
            continue
        before = _NAME_BEFORE.search(text, max(0, holder.start() - _REACH), holder.start())
        if before is None or before[1].lower() in FUNCTION_WORDS:  # not Ann Hill III
            named.append((holder.start(), number.end()))
    return named, given

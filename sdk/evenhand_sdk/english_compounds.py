"""English words that say nothing of one person: man-made, `man` for mankind, joined peoples (Irish American)."""

from __future__ import annotations

import re
from collections.abc import Callable

from evenhand_sdk.english_neighbours import sentence_starts_at, words_after, words_before
from evenhand_sdk.english_words import FUNCTION_WORDS

_COMPOUNDED = frozenset(("man", "woman", "boy", "girl", "lady", "gentleman", "king", "queen"))
_CALLED_OUT = re.compile(
    r"[,!] (?:that|this|it|it's|I|I'm|you|we|they|what|how|do|did|does|is|am|are|was|if|there|where|my|your|our|the)\b"
)
"""Behind a word that is called out at the beginning of a sentence (Man, that was loud); not `Man, 45, arrested`."""
_CREW = re.compile(r"(?:\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve))-\Z", re.IGNORECASE)
"""Before the hyphen of a crew or a regiment (two-man team)."""
_LONGEST_NUMBER = 8
_BOTH_IN_ONE = re.compile(r"(?:\b|\()(?:wo|fe)[/)]\Z", re.IGNORECASE)
"""Before `man` or `male` in a word for both (wo/man, (fe)male)."""
_GRADUATES = frozenset(("bachelor", "bachelors", "master", "masters"))
_DEGREE = re.compile(
    r"(?:['’]s?)? of (?:(?:fine|applied|business|social|public|computer|liberal|medical|civil) )?"
    r"(?:arts?|sciences?|laws?|medicine|engineering|education|music|commerce|business|divinity|theology|philosophy|nursing|architecture|design"
    r"|economics|technology|administration|journalism|work|health|studies|letters|surgery|pharmacy)\b",
    re.IGNORECASE,
)
_KIN_OF_BODIES = frozenset(("mother", "sister", "daughter"))
_BODY = re.compile(
    r"[ -](?:compan(?:y|ies)|firms?|churches|institutions?|organi[sz]ations?|nucle(?:us|i)|isotopes?|cells?|atoms?"
    r"|particles?|chromatids?|languages?|tongues?)\b",
    re.IGNORECASE,
)
"""Behind a word for a relative that is said of a body of people, or of what came of something."""
_EXCLAIMED = frozenset(("man", "boy", "brother", "guys"))
_JOINING = frozenset(("turned", "to", "in", "next", "and", "or", "of", "at"))
_SECOND = re.compile(r"-([a-z]+)")
_MANKIND_DOES = re.compile(
    r" (?:is|was|has|had|cannot|can|could|must|may|might|shall|should|will|would|does|did|proposes|lives|needs|evolved"
    r"|versus|against)\b"
)
_OF_MANKIND = frozenset(
    ("of", "to", "by", "for", "between", "against", "from", "than", "in", "upon", "beyond", "makes")
)

_LONGEST_PEOPLE = 24
_NEW_WORLD = ("American", "Americans", "Canadian", "Canadians", "Australian", "Australians")
_HYPHEN_BEHIND = re.compile(r"-[A-Z][a-z]+(?:an|ans|ese|ish|i|ic|ch|ss)\b")
_HYPHEN_BEFORE = re.compile(r"\b[A-Z][a-z]+(?:an|ese|ish|i|ic|ch|ss)-\Z")
_AMERICAN = re.compile(r" ((?:American|Canadian|Australian)s?)\b")
_WORD_BEFORE = re.compile(r"\b([A-Z][a-z]+) \Z")


def in_fixed_compound(text: str, start: int, end: int) -> bool:
    """Whether man, woman, boy, lady or king begins a compound for a thing, man means mankind (man is mortal), the word
    ends one for both (wo/man), or it is a degree (bachelor of arts)."""
    word = text[start:end].lower()
    if _BOTH_IN_ONE.search(text, max(0, start - _LONGEST_NUMBER), start):
        return True
    if word in _KIN_OF_BODIES and _BODY.match(text, end):
        return True
    if word in _GRADUATES and _DEGREE.match(text, end):
        return True
    if word in _EXCLAIMED and text[start].isupper() and _CALLED_OUT.match(text, end):
        return sentence_starts_at(text, start)
    if text[start - 1 : start] == "-" and _CREW.search(text, max(0, start - _LONGEST_NUMBER), start):
        return True
    if word not in _COMPOUNDED:
        return False
    if text[end : end + 1] == "-":
        found = _SECOND.match(text, end)
        return found is not None and found[1] not in _JOINING and found[1] not in _COMPOUNDED
    return word == "man" and _means_mankind(text, start, end)


def _means_mankind(text: str, start: int, end: int) -> bool:
    before = words_before(text, start, 1)
    if text[start:end] == "MAN":
        return False
    if not before:
        if _MANKIND_DOES.match(text, end) is None:
            return False
        place = start
        while place > 0 and text[place - 1].isspace():
            place -= 1
        return start == 0 or text[max(0, place - 1) : place] in (".", "!", "?", ":", '"', "“")
    if before[0][0].lower() not in _OF_MANKIND or text[start].isupper():
        return False
    after = words_after(text, end, 1)
    return not after or after[0][0].lower() in FUNCTION_WORDS


def of_two_peoples(text: str, start: int, end: int, is_group_word: Callable[[str], bool]) -> bool:
    """Whether the word and another one say of which two peoples somebody is (Irish American, Eritrean-Australian)."""
    if text[start:end].isupper():
        return False
    if _HYPHEN_BEHIND.match(text, end) or _HYPHEN_BEFORE.search(text, max(0, start - _LONGEST_PEOPLE), start):
        return True
    behind = _AMERICAN.match(text, end)
    if behind is not None and is_group_word(behind[1].lower()):
        return True
    before = _WORD_BEFORE.search(text, max(0, start - _LONGEST_PEOPLE), start)
    return before is not None and text[start:end] in _NEW_WORLD and is_group_word(before[1].lower())

"""What follows a swapped word in English and must agree with it: possessive endings, and verbs behind they."""

from __future__ import annotations

import re

from evenhand_sdk.english_words import FUNCTION_WORDS, NOT_INFLECTED
from evenhand_sdk.grammar import Replacement, Swap

_OPEN_QUOTE = re.compile(r"(?:^|[\s(])['‘](?=\w)")
_VERB = re.compile(r"([^\S\n]+(?:[a-z]+ly |not |also |never |still |always |often )*)([A-Za-z]+(?:n['’]t)?)(?![\w'’])")
_CONTRACTION = re.compile(r"(['’])(s|re|ve|S|RE|VE)\b([^\S\n]+(?:not |also |never |just )*(\w*))?")
_BRACKET = re.compile(r"\((e?s)\)", re.IGNORECASE)

_PLURAL = {"is": "are", "was": "were", "has": "have", "does": "do", "isn't": "aren't", "wasn't": "weren't",
           "hasn't": "haven't", "doesn't": "don't"}  # fmt: skip
_SINGULAR = {many: one for one, many in _PLURAL.items()}


def possessive_ending(text: str, swap: Swap) -> Replacement | None:
    """The apostrophe behind a swapped noun: 's, or a bare one behind a plural in s (the ladies', the gentlemen's)."""
    mark = text[swap.end]
    plural_after = swap.after.lower().endswith("s") and swap.row.number == "plural"
    has_s = text[swap.end + 1 : swap.end + 2].lower() == "s" and not text[swap.end + 2 : swap.end + 3].isalnum()
    if has_s:
        return Replacement(swap.end, swap.end + 2, mark) if plural_after and _owns(text, swap.end + 2) else None
    if text[swap.end + 1 : swap.end + 2].isalnum() or swap.after.lower().endswith("s"):
        return None
    if not swap.before.lower().endswith("s") or not _owns(text, swap.end + 1):
        return None
    line = text[max(text.rfind("\n", 0, swap.start), swap.start - 200, 0) : swap.start]
    if _OPEN_QUOTE.search(line):
        return None  # the mark may close a quotation
    return Replacement(swap.end, swap.end + 1, mark + ("S" if swap.after.isupper() else "s"))


def plural_in_brackets(text: str, swap: Swap) -> Replacement | None:
    """The bracket for one or several behind a swapped noun: waiter(s), waitress(es)."""
    found = _BRACKET.match(text, swap.end)
    if found is None or swap.row.pos != "noun" or swap.row.number == "plural":
        return None
    had, has = (word.lower().endswith(("s", "x", "z", "ch", "sh")) for word in (swap.before, swap.after))
    if had == has or had != (found[1].lower() == "es"):
        return None
    ending = "es" if has else "s"
    return Replacement(found.start(1), found.end(1), ending.upper() if found[1].isupper() else ending)


def _owns(text: str, end: int) -> bool:
    """Whether something owned can follow: a word behind one space."""
    return text[end : end + 1] == " " and text[end + 1 : end + 2].isalpha()


def verb_after(text: str, swap: Swap) -> list[Replacement]:
    """The verb behind she, he or they, where the new pronoun has another number than the old one."""
    had, has = swap.before.lower() == "they", swap.after.lower() == "they"
    if had == has:
        return []
    if contracted := _CONTRACTION.match(text, swap.end):
        return _contraction(contracted, plural=has)
    found = _VERB.match(text, swap.end)
    if found is None:
        return []
    verb = found[2]
    changed = _agreeing(verb.lower().replace("’", "'"), plural=has)
    if changed is None:
        return []
    changed = changed.upper() if verb.isupper() and len(verb) > 1 else changed
    return [Replacement(found.start(2), found.end(2), changed.replace("'", "’") if "’" in verb else changed)]


def _contraction(found: re.Match[str], *, plural: bool) -> list[Replacement]:
    """She's is she is or she has; they're and they've say which."""
    ending, following = found[2].lower(), (found[4] or "").lower()
    if plural and ending == "s":
        perfect = following in ("been", "got", "had", "done", "gone", "taken", "become") or (
            following.endswith("ed") and following not in ("tired", "married", "bored", "excited", "supposed", "scared")
        )
        new = "ve" if perfect else "re"
    elif not plural and ending in ("re", "ve"):
        new = "s"
    else:
        return []
    return [Replacement(found.start(2), found.end(2), new.upper() if found[2].isupper() else new)]


def _agreeing(verb: str, *, plural: bool) -> str | None:
    """The verb in the other number; None where both are the same."""
    if verb in NOT_INFLECTED:
        return None
    if plural:
        if verb in _PLURAL:
            return _PLURAL[verb]
        if not verb.endswith("s") or verb.endswith("ss") or verb in FUNCTION_WORDS:
            return None
        if verb.endswith("ies") and len(verb) > 4:
            return verb[:-3] + "y"
        if verb.endswith(("shes", "ches", "sses", "xes", "zzes", "oes")):
            return verb[:-2]
        return verb[:-1]
    return _SINGULAR.get(verb)  # of other verbs, present and past may look alike behind they (they put, they run)

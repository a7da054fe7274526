"""Whether a capitalised first name is one where it stands: not a surname, and not part of the name of a thing."""

from __future__ import annotations

from evenhand_sdk.english_neighbours import sentence_starts_at
from evenhand_sdk.english_person_words import NAME_TITLES, THING_NOUNS


def is_first_name(text: str, start: int, end: int) -> bool:
    """No surname (Lloyd George), and not before a noun for a thing or a place (George Street)."""
    return is_first_name_so_far(text, start) and not _before_thing(text, end)


def is_first_name_so_far(text: str, start: int) -> bool:
    """No surname, judged from what stands before."""
    if start < 2 or text[start - 1] not in " -" or text[start - 1] == "-" and not text[start - 2].isalpha():
        return True
    token = text[max(0, start - 40) : start - 1].rsplit(None, 1)
    before = token[-1] if token and not text[start - 2].isspace() else ""
    if not before or not before[-1].isalpha():
        initial = len(before) == 2 and before[0].isupper() and before[1] == "."
        return not initial or before[0] == "I"
    before = before.lstrip("\"“‘'(*_[")
    if not before[:1].isupper() or before.isupper() and len(before) > 1:
        return True
    word = before.lower()
    if word in NAME_TITLES or "'" in word or "’" in word:
        return True
    return sentence_starts_at(text, start - 1 - len(before)) and (
        len(word) > 6 and word.endswith(("ally", "edly", "tely", "ntly", "usly", "ing", "ed"))
    )


def _before_thing(text: str, end: int) -> bool:
    rest = text[end : end + 24]
    if rest[:2] in ("'s", "’s"):
        rest = rest[2:]
    if rest[:1] != " ":
        return False
    word = rest[1:].split(None, 1)[:1]
    return bool(word) and word[0].rstrip(".,;:!?)\"'”’") in THING_NOUNS

"""Whether an English word is part of a name whose initials stand behind it: American Citizens Abroad (ACA)."""

from __future__ import annotations

import re

_LONGEST = 90
_INITIALS = 12
_WORD = r"(?:[A-Z][\w'’]*|of|for|the|and|in|on|to|&)"
_NAME_AND_INITIALS = re.compile(rf"({_WORD}(?:(?:[ -]|, ){_WORD})*) \(([A-Z]{{2,8}})\)")


def in_abbreviated_name(text: str, start: int) -> bool:
    """Whether the capitals from the word at `start` on are the last letters of an abbreviation in brackets.

    Two at least, or one behind a capitalised word: the Royal National Institute of the Blind (RNIB).
    """
    if text.find(" (", start, start + _LONGEST) < 0:
        return False
    found = _NAME_AND_INITIALS.match(text, start, start + _LONGEST + _INITIALS)
    if found is None:
        return False
    initials = "".join(word[0] for word in re.split(r"[ ,-]+", found[1]) if word[0].isupper())
    if not found[2].endswith(initials):
        return False
    return len(initials) > 1 or len(found[2]) > len(initials)

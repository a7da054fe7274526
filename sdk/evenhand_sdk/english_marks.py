"""Marks around an English word that are no part of the sentence: emphasis and links of Markdown, tags of HTML."""

from __future__ import annotations

import re

INLINE = "a|abbr|b|cite|code|del|em|font|i|ins|kbd|mark|q|s|small|span|strong|sub|sup|tt|u"
"""Tags within a sentence; others (p, td, li) part two."""
OPENING = rf"(?:[\"“‘(*_`~\[]|<(?i:{INLINE})(?:\s[^<>\n]{{0,200}})?>)"
"""One mark before a word, as a regular expression."""
_OPENED = re.compile(rf"{OPENING}+\Z")
_ONE = re.compile(rf"<(\w+)[^<>]*>|\*+|_+|`+|~+|{OPENING}")
_LINK = re.compile(r"\](?:\([^()\s]{0,500}\)|\[[^\[\]\n]{0,80}\])?")
_CLOSING = {'"': '"', "“": "”", "‘": "’", "(": ")"}
_REACH = 240


def before_marks(text: str, start: int) -> int:
    """Where the marks begin that stand directly before the word at `start`."""
    if start == 0 or text[start - 1].isspace() or text[start - 1].isalnum():
        return start
    found = _OPENED.search(text, max(0, start - _REACH), start)
    return found.start() if found else start


def behind_marks(text: str, start: int, end: int) -> int:
    """Where the marks end that close behind the word at text[start:end] what was opened directly before it; `end` where
    there are none."""
    begin = before_marks(text, start)
    for opened in reversed(list(_ONE.finditer(text, begin, start))):
        mark = opened[0]
        if mark == "[":
            link = _LINK.match(text, end)
            if link is None:
                break
            end = link.end()
            continue
        closing = f"</{opened[1]}>" if opened[1] else _CLOSING.get(mark, mark)
        if not text.startswith(closing, end):
            break
        end += len(closing)
    return end

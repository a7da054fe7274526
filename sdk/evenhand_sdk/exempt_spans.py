"""Where a text must not be changed: phrases of the axis, titles of works in quotes, addresses and handles."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Protocol, TypeVar

from evenhand_sdk.lexicon import Lexicon

_ABBREVIATIONS = "Mr Mrs Ms Mx Dr St Sr Jr Prof Rev Gen Col Capt Lt Sgt Gov Sen Rep Hon vs No"
_SENTENCE_END = re.compile(
    "".join(rf"(?<!\b{short})" for short in _ABBREVIATIONS.split())
    + r"(?<!\b[A-Z])[.!?]+[\"'”’)\]]*\s+(?=[^\Wa-z_]|[\"“‘'(\[])|\n+"
)
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_BOUNDARY = {"sentence": _SENTENCE_END, "paragraph": _PARAGRAPH_END}
_QUOTED = re.compile(
    r'"([^"\n]{3,120})"|“([^“”\n]{3,120})”|‘([^‘’\n]{3,120}(?:’\w[^‘’\n]{0,60})*)’|[*_]([^*_\n]{3,120})[*_]'
)
_QUOTE_MARKS = re.compile(r'["“‘*_]')
_SMALL_WORDS = frozenset(
    (
        "a",
        "an",
        "the",
        "and",
        "or",
        "nor",
        "but",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "by",
        "with",
        "from",
        "as",
        "is",
    )
)
_ADDRESS = re.compile(
    r"(?:https?://|\bwww\.)\S+|(?<![\w.+-])[\w.+-]{1,64}@[\w-]+\.[\w.-]+|(?<!\w)[@#]\w+|\b\w+\.(?:com|org|net)\b"
)
_ADDRESS_MARKS = re.compile(r"[@#]|://|www\.|\.(?:com|org|net)\b")


class Spanned(Protocol):
    """Anything with a place in a text."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


Word = TypeVar("Word", bound=Spanned)


def exempt_spans(text: str, lexicon: Lexicon) -> list[tuple[int, int]]:
    """Character spans (end exclusive) that must stay as they are, judged from the whole text."""
    spans: list[tuple[int, int]] = []
    if lexicon.any_exemption is not None and lexicon.any_exemption.search(text):
        for scope, pattern in lexicon.exemptions:
            spans += _widened(text, [match.span() for match in pattern.finditer(text)], scope)
    if _QUOTE_MARKS.search(text):
        spans += [match.span() for match in _QUOTED.finditer(text) if is_title(match[match.lastindex or 0])]
    if _ADDRESS_MARKS.search(text):
        spans += [match.span() for match in _ADDRESS.finditer(text)]
    return spans


def exempt_so_far(text: str, lexicon: Lexicon, words: Sequence[Word]) -> list[Word]:
    """The words that may be changed, each judged by the text up to its own end: the causal form of
    `exempt_spans`.

    A phrase protects only the words that it contains at or after its completion; a sentence or paragraph
    scope protects what follows the phrase. Quoted titles are not known before the quote ends and do not count
    here.
    """
    words = [word for word in words if not _in_address(text, word.start)]
    if lexicon.any_exemption is None or not lexicon.any_exemption.search(text):
        return list(words)
    return [word for word in words if not _exempt_at(text, word, lexicon)]


def _exempt_at(text: str, word: Spanned, lexicon: Lexicon) -> bool:
    begin = max(0, text.rfind("\n\n", 0, word.start))
    prefix = text[begin : word.end]
    start = word.start - begin
    return any(
        first <= start < end
        for scope, pattern in lexicon.exemptions
        for first, end in _widened(prefix, [match.span() for match in pattern.finditer(prefix)], scope)
    )


def _in_address(text: str, start: int) -> bool:
    """Whether the characters since the last white space already show an address or a handle."""
    if start == 0 or text[start - 1].isspace():
        return False
    token = text[max(0, start - 200) : start].split()[-1]
    return _ADDRESS_MARKS.search(token) is not None


def _widened(text: str, spans: list[tuple[int, int]], scope: str) -> list[tuple[int, int]]:
    """The spans themselves, or the sentences or paragraphs around them."""
    if scope in ("phrase", "person") or not spans:
        return spans
    boundaries = [match.span() for match in _BOUNDARY[scope].finditer(text)]
    starts, ends = [0, *(end for _, end in boundaries)], [*(start for start, _ in boundaries), len(text)]
    return [
        (starts[bisect_right(starts, start) - 1], ends[min(bisect_left(ends, end), len(ends) - 1)])
        for start, end in spans
    ]


def is_title(quoted: str) -> bool:
    """Whether quoted words look like the title of a work: two or more, each capitalised but for the small
    ones."""
    if quoted.rstrip()[-1:] in ("?", "!", ".", ";", ":"):
        return False
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", quoted)
    if not 2 <= len(words) <= 10 or not words[0][0].isupper():
        return False
    return sum(word[0].isupper() for word in words) >= 2 and all(
        word[0].isupper() or word[0].isdigit() or word in _SMALL_WORDS for word in words
    )

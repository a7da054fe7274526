"""Where a text must not be changed: phrases of the axis, titles of works in quotes, addresses, handles and markup."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

from evenhand_sdk.axes import WordTuple
from evenhand_sdk.grammar import Grammar
from evenhand_sdk.lexicon import Lexicon
from evenhand_sdk.markup_spans import in_markup_so_far, markup_spans
from evenhand_sdk.phrase_search import patterns_for, phrases_in
from evenhand_sdk.word_search import Folded, folded

_PARAGRAPH_END = re.compile(r"\n\s*\n")
_QUOTED = re.compile(
    r'"([^"\n]{3,120})"|“([^“”\n]{3,120})”|‘([^‘’\n]{3,120}(?:’\w[^‘’\n]{0,60})*)’|[*_]([^*_\n]{3,120})[*_]'
)
_FIRST_NAMES = re.compile(r"(?:[A-ZÀ-ÖØ-Þ][^\W\d_]*\.?[ \t]+){1,4}[\"“]?\Z")
_NAME = re.compile(r"[^\W\d_]+")
_QUOTE_MARKS = re.compile(r'["“‘*_]')
_ADDRESS = re.compile(
    r"(?:https?://|\bwww\.)\S+|(?<![\w.+-])[\w.+-]{1,64}@[\w-]+\.[\w.-]+|(?<!\w)[@#]\w+|\b\w+\.(?:com|org|net)\b"
)
_ADDRESS_MARKS = ("@", "#", "://", "www.", ".com", ".org", ".net")


class Spanned(Protocol):
    """Anything with a place in a text."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


Word = TypeVar("Word", bound=Spanned)
Span = tuple[int, int]


class Exempt(NamedTuple):
    """Character spans (ends exclusive) that must stay as they are, by what they are."""

    things: Sequence[Span]
    """Fixed expressions, names of things, titles of works, addresses: no person is meant."""
    facts: Sequence[Span]
    """Sentences or paragraphs that are about a group as a matter of fact."""
    persons: Sequence[Span]
    """Phrases that name a real person or give somebody's title."""
    groups: Sequence[Span] = ()
    """Sentences that state a fact about a group as a group: only the words that speak of one must stay."""


NO_ROW = WordTuple(words=(), pos="name")
NOTHING = Exempt((), (), ())


def exempt_spans(text: str, lexicon: Lexicon, fold: Folded | None = None) -> Exempt:
    """What must stay as it is, judged from the whole text."""
    fold = fold or folded(text)
    things: list[Span] = []
    facts: list[Span] = []
    persons: list[Span] = []
    groups: list[Span] = []
    named: list[Span] = []
    widened = _Widened(text, lexicon.grammar)
    for scope, spans in phrases_in(text, fold, lexicon):
        if scope == "person":
            named += [
                _with_first_names(text, span, lexicon) for span in spans if _stands_alone(text, span, lexicon.grammar)
            ]
        elif scope == "group":
            groups += widened(spans, "sentence")
        else:
            if scope == "sentence":
                spans = [span for span in spans if not lexicon.grammar.is_mere_topic(text, span[0])]
            kept = things if scope == "phrase" else facts
            kept += widened(spans, scope)
            if scope == "phrase":  # no woman, and yet a she
                named += [span for span in spans if text[slice(*span)].lower() in lexicon.grammar.beings]
    if lexicon.persons and not lexicon.grammar.rank_words.isdisjoint(fold.parts):
        rulers, ranks = lexicon.grammar.rulers(text)
        named += rulers
        facts += widened(ranks, "sentence")
    for span in named:  # John F. Kennedy Airport, Duke of York's Theatre
        (things if lexicon.grammar.in_name_of_thing(text, *span, NO_ROW) else persons).append(span)
    if '"' in text or "*" in text or "_" in text or (not text.isascii() and _QUOTE_MARKS.search(text)):
        small = lexicon.grammar.small_words
        things += [match.span() for match in _QUOTED.finditer(text) if is_title(match[match.lastindex or 0], small)]
    if "@" in text or "#" in text or "://" in text or "www." in text or _has_domain(text):
        things += [match.span() for match in _ADDRESS.finditer(text)]
    things += markup_spans(text)
    found = Exempt(things, facts, persons, groups)
    return found if any(found) else NOTHING


def _stands_alone(text: str, span: Span, grammar: Grammar) -> bool:
    """Whether a single well-known name is no part of another one (Gandhi; not Merlin Hull, not Simone Verdi)."""
    start, end = span
    if " " in text[start:end]:
        return True
    if grammar.is_namesake(text, start):
        return False
    return not grammar.bears_surname(text, end) and grammar.is_first_name_so_far(text, start, end)


def _with_first_names(text: str, span: Span, lexicon: Lexicon) -> Span:
    """A known name with the names before it: Mary Leta Dorothy Lamour, William Jefferson "Bill" Clinton."""
    start, end = span
    if " " not in text[start:end]:
        return span
    before = _FIRST_NAMES.search(text, max(0, start - 80), start)
    if before is None:
        return span
    for word in _NAME.finditer(text, before.start(), start):
        if lexicon.is_name(word[0].lower()):
            return word.start(), end
    return (before.start(), end) if before[0].endswith(('"', "“")) else span


def _has_domain(text: str) -> bool:
    return ".com" in text or ".org" in text or ".net" in text


def exempt_so_far(text: str, lexicon: Lexicon, words: Sequence[Word]) -> list[Word]:
    """The words that may be changed, each judged by the text up to its own end: the causal form of `exempt_spans`.

    A phrase protects only the words that it contains at or after its completion; a sentence, paragraph or person scope
    protects what follows the phrase, to the end of the sentence or paragraph. Quoted titles are not known before the
    quote ends and do not count here.
    """
    words = [word for word in words if not (_in_address(text, word.start) or in_markup_so_far(text, word.start))]
    if not patterns_for(folded(text).parts, lexicon):
        return list(words)
    return [word for word in words if not _exempt_at(text, word, lexicon)]


def _exempt_at(text: str, word: Spanned, lexicon: Lexicon) -> bool:
    begin = max(0, text.rfind("\n\n", 0, word.start))
    return _exempt_in(text[begin : word.end], word.start - begin, lexicon)


@lru_cache(maxsize=4096)
def _exempt_in(prefix: str, start: int, lexicon: Lexicon) -> bool:
    """A text that grows by a token asks about all its earlier words again, and these have the same answer."""
    widened = _Widened(prefix, lexicon.grammar)
    return any(
        first <= start < end
        for scope, pattern in patterns_for(folded(prefix).parts, lexicon)
        if scope != "group"
        for first, end in widened(
            [match.span() for match in pattern.finditer(prefix)], "paragraph" if scope == "person" else scope
        )
    )


def completes_person(text: str, start: int, lexicon: Lexicon) -> bool:
    """Whether a phrase that names a real person, or another one that protects its paragraph, ends behind `start`."""
    return any(
        match.end() > start
        for scope, pattern in patterns_for(folded(text).parts, lexicon)
        if scope in ("person", "paragraph")
        for match in pattern.finditer(text)
    )


def ends_paragraph(text: str) -> bool:
    """Whether a paragraph ends with the text."""
    return _PARAGRAPH_END.search(text, len(text.rstrip())) is not None


def _in_address(text: str, start: int) -> bool:
    """Whether the characters since the last white space already show an address or a handle."""
    if start == 0 or text[start - 1].isspace():
        return False
    token = text[max(0, start - 200) : start].split()[-1]
    return any(mark in token for mark in _ADDRESS_MARKS)


class _Widened:
    """(spans, scope) -> the spans themselves, or the sentences or paragraphs around them; a text is parted once."""

    def __init__(self, text: str, grammar: Grammar) -> None:
        self._text = text
        self._boundary = {"sentence": grammar.sentence_end, "paragraph": _PARAGRAPH_END}
        self._parted: dict[str, tuple[list[int], list[int]]] = {}

    def __call__(self, spans: Sequence[Span], scope: str) -> Sequence[Span]:
        if scope not in self._boundary or not spans:
            return spans
        if scope not in self._parted:
            boundaries = [match.span() for match in self._boundary[scope].finditer(self._text)]
            self._parted[scope] = (
                [0, *(end for _, end in boundaries)],
                [*(start for start, _ in boundaries), len(self._text)],
            )
        starts, ends = self._parted[scope]
        return [
            (starts[bisect_right(starts, start) - 1], ends[min(bisect_left(ends, end), len(ends) - 1)])
            for start, end in spans
        ]


def is_title(quoted: str, small_words: Collection[str]) -> bool:
    """Whether quoted words look like the title of a work: two or more, each capitalised but for the small
    ones."""
    if quoted.isupper() or quoted.rstrip()[-1:] in ("?", "!", ".", ";", ":"):
        return False
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", quoted)
    if not 2 <= len(words) <= 10 or not words[0][0].isupper():
        return False
    return sum(word[0].isupper() for word in words) >= 2 and all(
        word[0].isupper() or word[0].isdigit() or word in small_words for word in words
    )

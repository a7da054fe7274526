"""The counterfactual engine: the same text with the words of one group replaced by those of another.

For a text whose first group word belongs to group s, the counterfactual towards t exchanges s and t
everywhere, in one pass: words of s become words of t and words of t become words of s. With two groups this
is the swap of counterfactual data augmentation (Lu et al. 2020), and applying it twice gives the text back on
the supported lexicon.

`counterfactuals` reads the whole text. `swap_prefix` is the causal form for decoding: what it does with a
word depends on the text up to the end of that word and on nothing behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evenhand_sdk import english_grammar as english
from evenhand_sdk.axes import Axis, WordTuple
from evenhand_sdk.exempt_spans import exempt_so_far, exempt_spans
from evenhand_sdk.lexicon import Entry, Lexicon, compiled

NAME_CERTAINTY = 0.9
"""Most given names belong to one group, none surely so."""


@dataclass(frozen=True)
class Edit:
    """One replacement, with its place in characters in the old text and in the new one (ends are
    exclusive)."""

    start: int
    end: int
    before: str
    after: str
    new_start: int
    new_end: int


@dataclass(frozen=True)
class Counterfactual:
    """A text after the swap. Outside the edits it equals the original, character by character."""

    text: str
    group: str
    """The group that the first person of the text now belongs to."""
    edits: tuple[Edit, ...]
    confidence: float
    """That of the least certain edit, in (0, 1]."""


@dataclass(frozen=True)
class GroupWord:
    """A word of a group in a text: text[start:end]."""

    start: int
    end: int
    group: str
    exempt: bool = False
    """It stands in a phrase, title or address that must not be changed."""


@dataclass(frozen=True)
class _Found:
    start: int
    end: int
    entry: Entry
    style: str
    several_words: bool = False


def counterfactuals(text: str, axis: Axis, target: str | None = None, *, names: bool = True) -> list[Counterfactual]:
    """One counterfactual per other group, in the order of `axis.groups`; an empty list when there is nothing
    to swap.

    `target` asks for one group only (UsageError if the axis has no such group). `names=False` leaves first
    names as they are. Case is kept, a and an are repaired, and exempt spans (`do_not_flip`, quoted titles,
    addresses) are left alone. Source: technique 2.2.
    """
    return _counterfactuals(text, axis, target, names=names, causal=False)


def causal_counterfactuals(
    text: str, axis: Axis, target: str | None = None, *, names: bool = True
) -> list[Counterfactual]:
    """As `counterfactuals`, but each word is decided from the text up to its own end.

    For every prefix that ends at the end of a word, the counterfactual of the prefix is the prefix of the
    counterfactual, so a growing text never has to be revised. The price: her becomes him only after a verb
    that is mostly said of persons and his otherwise, his always becomes her, a and an are not repaired, words
    of several parts are taken part by part, and an exempt phrase counts only once it is complete. The last
    word is taken as complete.
    """
    return _counterfactuals(text, axis, target, names=names, causal=True)


def swap_prefix(text: str, axis: Axis, target: str | None = None, *, names: bool = True) -> str:
    """The text of `causal_counterfactuals` for one target, or `text` itself when there is nothing to swap.

    Without a target it is the first other group in the order of `axis.groups`.
    """
    found = causal_counterfactuals(text, axis, target, names=names)
    return found[0].text if found else text


def group_words(text: str, axis: Axis) -> list[GroupWord]:
    """Every group word and first name in the text, in order; exempt ones are marked."""
    lexicon = compiled(axis)
    found = _find(text, lexicon)
    if not found:
        return []
    exempt = exempt_spans(text, lexicon)
    return [
        GroupWord(word.start, word.end, axis.groups[word.entry.group], exempt=_inside(word, exempt)) for word in found
    ]


def _counterfactuals(text: str, axis: Axis, target: str | None, *, names: bool, causal: bool) -> list[Counterfactual]:
    wanted = None if target is None else axis.group_index(target)
    lexicon = compiled(axis)
    found = _find(text, lexicon, single_words=causal)
    if not names:
        found = [word for word in found if not word.entry.is_name]
    if not found:
        return []
    if causal:
        found = exempt_so_far(text, lexicon, found)
    elif exempt := exempt_spans(text, lexicon):
        found = [word for word in found if not _inside(word, exempt)]
    if not found:
        return []
    source = found[0].entry.group
    targets = range(len(axis.groups)) if wanted is None else (wanted,)
    swapped = [_swap(text, found, source, other, axis, causal=causal) for other in targets if other != source]
    return [result for result in swapped if result and result.edits]


def _find(text: str, lexicon: Lexicon, *, single_words: bool = False) -> list[_Found]:
    found: list[_Found] = []
    for match in (lexicon.single_words if single_words else lexicon.words).finditer(text):
        surface = match[0]
        entry = lexicon.entries.get(surface.lower())
        style = _style(surface)
        if entry is None or not style:
            continue
        start, end = match.span()
        row = entry.rows[0]
        if row.capitalised and style == "lower":
            continue
        if row.pos == "pronoun" and _hyphenated(text, start, start if single_words else end):
            continue
        found.append(_Found(start, end, entry, style, " " in surface))
    return found


def _swap(
    text: str, found: Iterable[_Found], source: int, target: int, axis: Axis, *, causal: bool
) -> Counterfactual | None:
    edits: list[Edit] = []
    pieces: list[str] = []
    done = length = 0
    confidence = 1.0

    def replace(start: int, end: int, after: str) -> None:
        nonlocal done, length
        pieces.extend((text[done:start], after))
        new_start = length + start - done
        length = new_start + len(after)
        edits.append(Edit(start, end, text[start:end], after, new_start, length))
        done = end

    for word in found:
        if word.entry.group == source:
            other = target
        elif word.entry.group == target:
            other = source
        else:
            continue
        row, certainty = _row(text, word, causal=causal)
        if not row.words[other]:
            return None  # the pack has no word of that group
        before, after = text[word.start : word.end], _styled(row.words[other], word.style)
        confidence = min(confidence, certainty)
        if before == after:
            continue
        if not causal and (article := _article_before(text, word.start, done)):
            repaired = english.repaired_article(text[slice(*article)], before, after)
            if repaired != text[slice(*article)]:
                replace(*article, repaired)
        replace(word.start, word.end, after)
    pieces.append(text[done:])
    return Counterfactual("".join(pieces), axis.groups[target], tuple(edits), confidence)


def _row(text: str, word: _Found, *, causal: bool) -> tuple[WordTuple, float]:
    rows = word.entry.rows
    if len(rows) == 1:
        return rows[0], NAME_CERTAINTY if word.entry.is_name else rows[0].certainty
    if rows[0].case is None:
        return rows[0], rows[0].certainty
    decide = english.possessive_case_so_far if causal else english.possessive_case
    case, certainty = decide(text, word.start, word.end)
    return next(row for row in rows if row.case == case), certainty


def _article_before(text: str, start: int, done: int) -> tuple[int, int] | None:
    """The span of an `a` or `an` directly before `start`, with one space between."""
    if start < 2 or text[start - 1] != " ":
        return None
    begin = start - 3 if text[start - 3 : start - 1].lower() == "an" else start - 2
    if begin < done or text[begin : start - 1].lower() not in ("a", "an"):
        return None
    if begin and (text[begin - 1].isalnum() or text[begin - 1] in "'’-_&/."):
        return None
    return begin, start - 1


def _hyphenated(text: str, start: int, end: int) -> bool:
    """Part of a compound such as she-wolf; a dash between clauses is no hyphen. With end = start, only the
    left side."""
    if end > start and text.startswith("-", end) and text[end + 1 : end + 2].isalnum():
        return True
    return start > 1 and text[start - 1] == "-" and text[start - 2].isalnum()


def _inside(word: _Found, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether an exempt span touches the word; an entry of several words wins over what it contains."""
    return any(
        start < word.end and word.start < end and not (word.several_words and word.start <= start and end <= word.end)
        for start, end in spans
    )


def _style(surface: str) -> str:
    """How the word is written: lower, UPPER, Capital, or Title-Each-Part; empty when it is none of these."""
    if surface.islower():
        return "lower"
    if surface.isupper() and len(surface) > 1:
        return "upper"
    if surface == surface[:1].upper() + surface[1:].lower():
        return "capital"
    return "title" if surface == _title(surface) else ""


def _styled(word: str, style: str) -> str:
    if style == "upper":
        return word.upper()
    if style == "lower":
        return word.lower()
    return _title(word) if style == "title" else word[:1].upper() + word[1:].lower()


def _title(word: str) -> str:
    parts = word.replace("-", "\0-\0").replace(" ", "\0 \0").split("\0")
    return "".join(part[:1].upper() + part[1:].lower() for part in parts)

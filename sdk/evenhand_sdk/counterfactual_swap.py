"""The exchange of two groups in a text whose words to change are known: new words, their capitals, and repairs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from evenhand_sdk.axes import Axis, WordTuple
from evenhand_sdk.composed_text import ComposedText
from evenhand_sdk.counterfactual_types import Counterfactual, Edit
from evenhand_sdk.grammar import Grammar, Replacement, Swap
from evenhand_sdk.lexicon import Lexicon
from evenhand_sdk.spans import Span, Spans
from evenhand_sdk.word_search import Found, styled


def swap_groups(
    text: str,
    found: Sequence[Found],
    rows: Sequence[tuple[WordTuple, float]],
    source: int,
    target: int,
    axis: Axis,
    lexicon: Lexicon,
    *,
    causal: bool,
) -> Counterfactual | None:
    """The exchange of two groups; None when nothing changes, or the pack has no word for one that must."""
    made = exchanged(text, found, rows, source, target, axis, lexicon, causal=causal)
    return _applied(text, made[0], axis.groups[target], made[1]) if made and made[0] else None


def exchanged(
    text: str,
    found: Sequence[Found],
    rows: Sequence[tuple[WordTuple, float]],
    source: int,
    target: int,
    axis: Axis,
    lexicon: Lexicon,
    *,
    causal: bool,
) -> tuple[list[Replacement], float] | None:
    """What changes when two groups are exchanged, and how sure that is; None where the pack lacks a word that must."""
    changes: list[Replacement] = []
    taken = Spans((word.start, word.end) for word in found)
    placed: list[Span] = []
    capital: dict[int, bool] = {}
    free = 0
    confidence = 1.0
    for word, (row, certainty) in zip(found, rows, strict=True):
        start, end, entry, style, _ = word
        if entry.group == source:
            other = target
        elif entry.group == target:
            other = source
        else:
            continue
        after = row.words[other]
        if not after:
            return None
        before = text[start:end]
        if style != "listed" or before[0].isupper() != after[0].isupper():
            after = _written(text, word, after, lexicon)
            if after[0].islower() and before[0].isupper():
                if other not in capital:
                    capital[other] = _writes_capital(text, found, other, lexicon.grammar)
                after = after[0].upper() + after[1:] if capital[other] else after
        if certainty < confidence:
            confidence = certainty
        if before == after:
            continue
        repairs: Sequence[Replacement] = ()
        if not causal:
            swap = Swap(start, end, before, after, row, entry.group, other, free, axis.groups)
            repairs = lexicon.grammar.repairs(text, swap)
        own = Replacement(start, end, after)
        for repair in repairs:
            if (repair.start, repair.end) == (start, end):
                own = repair
            elif taken.touches(repair.start, repair.end) or _overlaps(repair, placed):
                continue
            elif text[repair.start : repair.end] != repair.after:
                changes.append(repair)
                insort(placed, (repair.start, repair.end))
            if repair.certainty < confidence:
                confidence = repair.certainty
        changes.append(own)
        insort(placed, (start, end))
        free = end
    return changes, confidence


def as_given(found: Counterfactual, text: ComposedText, *, causal: bool) -> Counterfactual:
    """The counterfactual of a text whose accents are decomposed, from that of its composed form."""
    edits = [Replacement(edit.start, edit.end, edit.after) for edit in found.edits]
    return _applied(text.given, edits_as_given(edits, text, causal=causal), found.group, found.confidence)


def edits_as_given(edits: Sequence[Replacement], text: ComposedText, *, causal: bool) -> tuple[Replacement, ...]:
    """Edits of the composed form, made ones of the text whose accents are decomposed."""
    changes = []
    for edit in edits:
        start, end = text.place(edit.start), text.place(edit.end)
        after = text.written(edit.after, start, end, until=end if causal else len(text.given))
        changes.append(Replacement(start, end, after))
    return tuple(changes)


def _overlaps(repair: Replacement, placed: Sequence[Span]) -> bool:
    """Whether another change already has the place; the changes so far are in order, and none overlaps another."""
    at = bisect_left(placed, (repair.end, repair.end)) - 1
    return at >= 0 and placed[at][1] > repair.start


def _applied(text: str, changes: Sequence[Replacement], group: str, confidence: float) -> Counterfactual:
    edits: list[Edit] = []
    pieces: list[str] = []
    done = length = 0
    for begin, stop, new, _ in sorted(changes):
        pieces.append(text[done:begin])
        pieces.append(new)
        new_start = length + begin - done
        length = new_start + len(new)
        edits.append(Edit(begin, stop, text[begin:stop], new, new_start, length))
        done = stop
    pieces.append(text[done:])
    return Counterfactual("".join(pieces), group, tuple(edits), confidence)


def _written(text: str, word: Found, after: str, lexicon: Lexicon) -> str:
    """The new word in the style of the old one; where the two have different capitals, the beginning of a sentence
    decides (Muslims pray: Atheists pray; a Muslim: an atheist)."""
    if word.style == "listed":
        if text[word.start].isupper() and lexicon.grammar.begins_sentence(text, word.start):
            return after[:1].upper() + after[1:]
        return after
    return styled(after, word.style)


def _writes_capital(text: str, found: Sequence[Found], group: int, grammar: Grammar) -> bool:
    """Whether the text gives a word of the group a capital that the pack does not (Black people and Asian people)."""
    return any(
        word.entry.group == group and word.style == "capital" and not grammar.begins_sentence(text, word.start)
        for word in found
        if word.entry.listed[0].islower()
    )

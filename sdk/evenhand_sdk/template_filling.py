"""Sentences from the templates of an axis pack: one for each group, alike but for what the group changes.

Where only the word itself changes (My {believer} neighbour), a slot is filled with the word of each group. Where
articles, adjectives and participles agree with it (La {work} est partie), a template is written for the axis's first
group, and the sentences of the others are the counterfactual engine's, which knows the language: filling their words
in would pair a sentence with a grammatical error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from evenhand_sdk.axes import Axis, Template
from evenhand_sdk.axis_pack_parts import NAME_SLOT, fills
from evenhand_sdk.grammar import grammar_of

AGREEING = frozenset({"female", "male"})
"""The groups between which words around a group word change."""
_SLOT = re.compile(r"\{([^{}]+)\}")
_ARTICLE = re.compile(r"\b(a|an) $", re.IGNORECASE)
_TRIES = 2


def agrees(axis: Axis) -> bool:
    """Whether templates of the pack are written for its first group, since the words around a slot agree with it."""
    return set(axis.groups) == AGREEING and grammar_of(axis.locale).agrees


def fillings(axis: Axis, template: Template) -> Iterator[dict[str, Sequence[str]]]:
    """Slot -> words by group: every row that may fill the slot with the most of them, the other slots in step."""
    choices: dict[str, Sequence[Sequence[str]]] = {
        slot: axis.names
        if theme == NAME_SLOT
        else [row.words for row in axis.tuples if fills(row, theme, template.pos, template.number)]
        for slot, theme in template.slots
    }
    if all(choices.values()):
        for k in range(max(map(len, choices.values()))):
            yield {slot: rows[k % len(rows)] for slot, rows in choices.items()}


def filled_sides(
    axis: Axis, template: str, words: Mapping[str, Sequence[str]], wanted: Collection[int] | None = None
) -> dict[str, str]:
    """Group -> the template with its slots filled, for every wanted group that has a word in each of them.

    `wanted` are positions in `axis.groups`; all of them by default.
    `words` has, for each slot, the words of a row in the order of `axis.groups`. Where words agree, a filling is empty
    unless its only group words are those of the slots, the swap to the other group has that group's, and the swap back
    gives the sentence again.
    """
    if agrees(axis):
        return _agreeing(axis, template, words)
    return {
        group: filled(template, {slot: row[k] for slot, row in words.items()}, axis.locale)
        for k, group in enumerate(axis.groups)
        if (wanted is None or k in wanted) and all(row[k] for row in words.values())
    }


def filled(template: str, words: Mapping[str, str], locale: str = "en") -> str:
    """The template with its slots filled; a or an agrees in English, and a sentence begins with a capital."""
    english = locale.partition("-")[0] == "en"
    pieces: list[str] = []
    place = 0
    for slot in _SLOT.finditer(template):
        before = template[place : slot.start()]
        word = words[slot[1]]
        if english and (article := _ARTICLE.search(before)):
            before = before[: article.start(1)] + _article(article[1], word) + " "
        if not "".join([*pieces, before]).strip():
            word = word[:1].upper() + word[1:]
        pieces += [before, word]
        place = slot.end()
    return "".join([*pieces, template[place:]])


def _article(written: str, word: str) -> str:
    from evenhand_sdk.english_grammar import starts_with_vowel_sound

    right = "an" if starts_with_vowel_sound(word) else "a"
    return right.capitalize() if written[0].isupper() else right


def _agreeing(axis: Axis, template: str, words: Mapping[str, Sequence[str]]) -> dict[str, str]:
    from evenhand_sdk.counterfactual import group_words

    first, other = axis.groups
    if not all(row[0] and row[1] for row in words.values()):
        return {}
    text = filled(template, {slot: row[0] for slot, row in words.items()}, axis.locale)
    for _ in range(_TRIES):  # the way back may mend what a template cannot know: la avocate, l'avocate
        side = _swapped(text, axis, other)
        back = _swapped(side, axis, first)
        if back == text:
            alone = len(group_words(text, axis)) == len(words)
            return {first: text, other: side} if alone and _has(text, words, 0) and _has(side, words, 1) else {}
        text = back
    return {}


def _swapped(text: str, axis: Axis, group: str) -> str:
    from evenhand_sdk.counterfactual import counterfactuals

    found = counterfactuals(text, axis, group)
    return found[0].text if found else ""


def _has(text: str, words: Mapping[str, Sequence[str]], group: int) -> bool:
    """Whether a sentence has the words of a group; a case may add an ending (des Lehrers)."""
    lowered = text.lower()
    return all(re.search(rf"\b{re.escape(row[group].lower())}", lowered) for row in words.values())

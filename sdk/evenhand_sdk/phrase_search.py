"""Finding the phrases that must not change: only around the parts of a text without which no phrase matches.

A short text is searched whole, since that is cheaper than to say where. In a longer one each pattern reads as many
parts on either side of its own part as its longest phrase has, so that the cost grows with the text, and not with the
text times the number of phrases that it may contain. Both ways find the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evenhand_sdk.lexicon import Lexicon
from evenhand_sdk.protected_phrases import Guarded
from evenhand_sdk.spans import Span
from evenhand_sdk.word_search import Folded

SHORT = 600
"""Characters; up to here a text is searched whole."""


def patterns_for(parts: Sequence[str], lexicon: Lexicon) -> list[tuple[str, re.Pattern[str]]]:
    """(scope, pattern) of the phrases that a text with these parts may contain; mostly none."""
    return [(one.scope, one.pattern) for _, one in _guarded_for(parts, lexicon)]


def phrases_in(text: str, fold: Folded, lexicon: Lexicon) -> Iterator[tuple[str, list[Span]]]:
    """(scope, spans) of the phrases in a text, those of each pattern in order and apart."""
    guarded = _guarded_for(fold.parts, lexicon)
    if not guarded:
        return
    loud = text.isupper()
    around = _Around(fold, [anchor for anchor, _ in guarded]) if len(text) > SHORT else None
    for anchor, one in guarded:
        windows = around.windows(anchor, one) if around and anchor else [(0, len(text))]
        spans = [found.span() for window in windows for found in one.pattern.finditer(text, *window)]
        if spans and loud and one.scope == "phrase":  # in capitals throughout, none says that something is a name
            quiet = {found.span() for window in windows for found in one.pattern.finditer(fold.lower, *window)}
            spans = [span for span in spans if span in quiet or " " not in text[slice(*span)]]
        if spans:
            yield one.scope, spans


def _guarded_for(parts: Sequence[str], lexicon: Lexicon) -> list[tuple[str, Guarded]]:
    anchors = list(lexicon.anchors.intersection(parts))
    length = lexicon.stem_length
    if length and (begun := lexicon.stem_heads.intersection([part[:length] for part in parts])):
        candidates = {part for part in parts if part[:length] in begun}
        anchors += [
            stem
            for head in begun
            for stem in lexicon.stems[head]
            if any(part.startswith(stem[:-1]) for part in candidates)
        ]
    if "" in lexicon.phrases:
        anchors.append("")
    if not anchors:
        return []
    present = set(parts)
    return [(anchor, one) for anchor in anchors for one in lexicon.patterns(anchor) if one.needs <= present]


class _Around:
    """The stretches of a text around the parts that phrases are looked for at."""

    def __init__(self, fold: Folded, anchors: Sequence[str]) -> None:
        self._parts, self._starts, self._size = fold.parts, fold.starts, len(fold.lower)
        self._at: dict[str, list[int]] = {anchor: [] for anchor in anchors}
        stems = {anchor[:-1] for anchor in anchors if anchor.endswith("*")}
        lengths = {len(stem) for stem in stems}
        at: dict[str, list[list[int]]] = {}
        for part in set(fold.parts):
            begun = [f"{part[:length]}*" for length in lengths if length <= len(part) and part[:length] in stems]
            if found := [self._at[anchor] for anchor in (part, *begun) if anchor in self._at]:
                at[part] = found
        for index, part in enumerate(fold.parts):
            for places in at.get(part, ()):
                places.append(index)

    def windows(self, anchor: str, one: Guarded) -> list[Span]:
        """Stretches that are apart, such that every match of the pattern lies in one of them."""
        found: list[Span] = []
        for index in self._at[anchor]:
            if not one.needs.issubset(self._parts[max(0, index - one.before) : index + one.behind + 1]):
                continue
            first, last = index - one.before - 1, index + one.behind + 1
            start = self._starts[first] + len(self._parts[first]) if first >= 0 else 0
            end = self._starts[last] + 1 if last < len(self._starts) else self._size  # a pattern looks one further
            if found and start <= found[-1][1]:
                start = found.pop()[0]
            found.append((start, end))
        return found

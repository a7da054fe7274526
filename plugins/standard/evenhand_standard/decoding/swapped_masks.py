"""The counterfactuals of a text with masks: the same text with the groups exchanged, and where its mask has gone.

A masked model sees both sides of a mask, so the whole text decides what a word is swapped for. What was masked is not
read: the mask stands there as a word that no list knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from evenhand_sdk import Axis, counterfactuals
from evenhand_standard.decoding.drawn_groups import ALL, DrawnGroups
from evenhand_standard.decoding.token_edits import TokenEditor

GAP = " blank"
"""What a mask, or an unknown word, reads as: a word behind a space. Grammar takes it for a noun."""


def swapped_masks(
    editor: TokenEditor,
    axes: Sequence[Axis],
    *,
    names: bool,
    exempt: Sequence[str] = (),
    drawn: DrawnGroups = ALL,
) -> Callable[[Sequence[int], int], list[tuple[tuple[int, ...], int]]]:
    """(ids, place of a mask) -> the ids of the counterfactuals, each with the place of the same mask.

    One per other (drawn) group and axis; none without a group word. All tokens outside the swapped words, the special
    ones among them, are the very same; a swap may change how many tokens stand before the mask.
    """
    phrases = [_pattern(phrase) for phrase in exempt]

    def contexts(ids: Sequence[int], place: int) -> list[tuple[tuple[int, ...], int]]:
        pieces = editor.pieces(ids)
        text = "".join(pieces)
        if any(phrase.search(text) for phrase in phrases):
            return []
        gaps = _gaps(ids, pieces, editor)
        mask = ids[place]
        earlier = sum(token == mask for token in ids[:place])
        found = []
        for axis in axes:
            for other in drawn.of(axis, counterfactuals(text, axis, names=names)):
                edits = [e for e in other.edits if not any(e.start < end and start < e.end for start, end in gaps)]
                if edits:
                    swapped = editor.edited(ids, pieces, edits)
                    found.append((swapped, [k for k, token in enumerate(swapped) if token == mask][earlier]))
        return found

    return contexts


def _gaps(ids: Sequence[int], pieces: Sequence[str], editor: TokenEditor) -> list[tuple[int, int]]:
    """Where the text has masks and unknown words, which no repair of grammar may touch."""
    found, end = [], 0
    for token, piece in zip(ids, pieces, strict=True):
        start, end = end, end + len(piece)
        if token in editor.gaps:
            found.append((start, end))
    return found


def _pattern(phrase: str) -> re.Pattern[str]:
    """A phrase in any case, with or without spaces around its punctuation: tokenizers set them apart."""
    parts = re.findall(r"\w+|[^\w\s]", phrase)
    joined = "".join(
        re.escape(part)
        if k == 0
        else (r"\s+" if part[0].isalnum() and parts[k - 1][-1].isalnum() else r"\s*") + re.escape(part)
        for k, part in enumerate(parts)
    )
    return re.compile(joined, re.IGNORECASE)

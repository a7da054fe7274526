"""Edits of a text, made on its tokens: tokens that no edit touches keep their ids.

Decoding a prefix, changing the text and encoding it again may split untouched words differently, and then two
contexts differ in more than their group words. Here only the tokens that an edit overlaps are encoded anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Protocol

BROKEN = "\ufffd"
"""What a tokenizer shows for a token that ends within a character."""
MOST_PIECES = 4
"""A character has at most four bytes."""


class Replacement(Protocol):
    """text[start:end] is replaced by `after`."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def after(self) -> str: ...


class TokenEditor:
    """Reads token ids as text and edits them in place; works for byte-level and SentencePiece tokenizers."""

    def __init__(self, tokenizer: Any, *, gap: str = "") -> None:
        self.tokenizer = tokenizer
        self.special = frozenset(tokenizer.all_special_ids)
        unread = (tokenizer.mask_token_id, tokenizer.unk_token_id) if gap else ()
        self.gaps = {token: gap for token in unread if token is not None}
        """Masks and unknown words stand for a word of the sentence, so that grammar finds one there."""
        self._read = lru_cache(maxsize=65536)(self._decoded)
        self._written = lru_cache(maxsize=4096)(self._encoded)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each token as it reads behind another one; special tokens read as a line break, or as the gap."""
        out: list[str] = []
        while len(out) < len(ids):
            k = len(out)
            text, used = self._read((ids[k],)), 1
            while BROKEN in text and used < MOST_PIECES and k + used < len(ids):
                used += 1
                text = self._read(tuple(ids[k : k + used]))
            if BROKEN in text:
                text, used = BROKEN, 1
            out += [text, *[""] * (used - 1)]
        return out

    def edited(self, ids: Sequence[int], pieces: Sequence[str], edits: Sequence[Replacement]) -> tuple[int, ...]:
        """The ids after edits of "".join(pieces), which must be in order and apart."""
        out: list[int] = []
        ends = _ends(pieces)
        token = done = 0
        while done < len(edits):
            first = next(k for k in range(token, len(ids)) if ends[k] > edits[done].start)
            begin = ends[first] - len(pieces[first])
            last, text, place = first, "", begin
            while done < len(edits) and edits[done].start < ends[last]:
                edit = edits[done]
                text += "".join(pieces)[place : edit.start] + edit.after
                place = edit.end
                while ends[last] < edit.end:
                    last += 1
                done += 1
            while last + 1 < len(ids) and pieces[last + 1] == "":
                last += 1
            text += "".join(pieces)[place : ends[last]]
            out += [*ids[token:first], *self._written(text)]
            token = last + 1
        return (*out, *ids[token:])

    @cached_property
    def _anchor(self) -> tuple[int, str]:
        """A token to decode others behind, because tokenizers drop the space before a first token."""
        token = self.tokenizer("a", add_special_tokens=False)["input_ids"][-1]
        return token, self._plain((token,))

    def _plain(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _decoded(self, ids: tuple[int, ...]) -> str:
        if ids[0] in self.gaps:
            return self.gaps[ids[0]]
        if ids[0] in self.special:
            return "\n"
        token, text = self._anchor
        return self._plain((token, *ids))[len(text) :]

    def _encoded(self, text: str) -> tuple[int, ...]:
        """Ids whose pieces read as `text`; tokenizers that add a space get it without its own."""
        tries = [self._ids(text)]
        if text.startswith(" "):
            tries.append(self._ids(text[1:]))
        start, whole = self._ids("\n"), self._ids("\n" + text)
        if whole[: len(start)] == start:
            tries.append(whole[len(start) :])
        return next((ids for ids in tries if "".join(self.pieces(ids)) == text), tries[0])

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _ends(pieces: Sequence[str]) -> list[int]:
    ends, total = [], 0
    for piece in pieces:
        total += len(piece)
        ends.append(total)
    return ends

"""Edits of a text, made on its tokens: tokens that no edit touches keep their ids.

Decoding a prefix, changing the text and encoding it again may split untouched words differently, and then two
contexts differ in more than their group words. Here only the tokens that an edit overlaps are encoded anew.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Protocol

from evenhand_sdk.prefix_memory import PrefixMemory

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
        self._memory: PrefixMemory[tuple[int, ...], tuple[str, ...]] = PrefixMemory((), self._settled)
        self._read = lru_cache(maxsize=65536)(self._decoded)
        self._written = lru_cache(maxsize=4096)(self._encoded)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each token as it reads behind another one; special tokens read as a line break, or as the gap."""
        ids = tuple(ids)
        return self._more(list(self._memory.state(ids)), ids, len(ids))

    def _settled(self, known: tuple[str, ...], ids: tuple[int, ...]) -> tuple[str, ...]:
        """The pieces of the first tokens, those that no token behind them can change."""
        return tuple(self._more(list(known), ids, len(ids) - MOST_PIECES + 1))

    def _more(self, out: list[str], ids: tuple[int, ...], until: int) -> list[str]:
        """The pieces of characters that begin before `until`, behind those that are known."""
        while len(out) < until:
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
        whole, ends = "".join(pieces), list(accumulate(map(len, pieces)))
        token = done = 0
        while done < len(edits):
            first = last = bisect_right(ends, edits[done].start, token)
            text, place = "", ends[first] - len(pieces[first])
            while done < len(edits) and edits[done].start < ends[last]:
                edit = edits[done]
                text += whole[place : edit.start] + edit.after
                place = edit.end
                if ends[last] < edit.end:
                    last = bisect_left(ends, edit.end, last)
                done += 1
            while last + 1 < len(ids) and pieces[last + 1] == "":
                last += 1
            out += ids[token:first]
            out += self._written(text + whole[place : ends[last]])
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

"""How many tokens may be added to a corpus, so that added ones are at most a share of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenhand_sdk.data_rows import token_counts


class TokenRoom:
    """Counts tokens that were read and added: added <= max_share (read + added)."""

    def __init__(self, max_share: float, tokenizer: Any) -> None:
        self.max_share, self.tokenizer = max_share, tokenizer
        self.empty()

    def empty(self) -> None:
        self.seen = self.added = 0

    def read(self, texts: Sequence[str]) -> list[int]:
        """Makes room for additions to these texts; gives the tokens of each."""
        found = token_counts(self.tokenizer, texts)
        self.seen += sum(found)
        return found

    def left(self) -> float:
        return self.seen * self.max_share / (1 - self.max_share) - self.added

    def take(self, texts: Sequence[str]) -> bool:
        """Whether these texts find room, all or none; if so, they take it."""
        more = sum(token_counts(self.tokenizer, texts))
        fits = more <= self.left()
        self.added += more if fits else 0
        return fits

    def share(self) -> float:
        """Of added tokens among all."""
        return self.added / max(1, self.seen + self.added)

"""What was worked out for the beginning of a sequence, kept so that a sequence that grows asks for its end alone."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

State = TypeVar("State")
Sequence = TypeVar("Sequence", str, tuple[int, ...])

BLOCK = 256
"""How many elements go by before something is kept."""
MOST_KEPT = 512


class PrefixMemory(Generic[Sequence, State]):
    """A fold over the beginnings of a sequence at every `block` elements; whatever is forgotten is folded anew.

    `advance` makes of the state of the last such beginning that of the next one, and is a pure function of both, so
    that what is kept changes how long an answer takes and never the answer.
    """

    def __init__(
        self, first: State, advance: Callable[[State, Sequence], State], *, block: int = BLOCK, most: int = MOST_KEPT
    ) -> None:
        self._first, self._block, self._most = first, block, most
        self._advance: Callable[[State, Sequence], State] = advance
        self._kept: dict[Sequence, State] = {}
        self._lock = Lock()  # several requests may be answered at once

    def state(self, sequence: Sequence) -> State:
        """The state of the longest beginning of a whole number of blocks."""
        with self._lock:
            whole = known = len(sequence) // self._block
            while known and sequence[: known * self._block] not in self._kept:
                known -= 1
            state = self._first
            if known:
                key = sequence[: known * self._block]
                state = self._kept[key] = self._kept.pop(key)  # the last one to be forgotten
            for blocks in range(known + 1, whole + 1):
                key = sequence[: blocks * self._block]
                state = self._kept[key] = self._advance(state, key)
                if len(self._kept) > self._most:
                    del self._kept[next(iter(self._kept))]
            return state

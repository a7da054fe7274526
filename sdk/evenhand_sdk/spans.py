"""Many stretches of one text, asked again and again which of them lie at a place; no answer looks at all of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

Span = tuple[int, int]
"""Two places in a text; the end is exclusive."""


class Spans:
    """Stretches that may overlap, in the order of their places."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = sorted(set(spans))
        self._starts = [start for start, _ in self._spans]
        self._reach = list(accumulate((end for _, end in self._spans), max))
        """Up to where the ones up to here go."""

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def touching(self, start: int, end: int) -> Iterator[Span]:
        """Those that share a character with text[start:end], from the last to the first."""
        at = bisect_left(self._starts, end) - 1
        while at >= 0 and self._reach[at] > start:
            if self._spans[at][1] > start:
                yield self._spans[at]
            at -= 1

    def touches(self, start: int, end: int) -> bool:
        """Whether one of them shares a character with text[start:end]."""
        at = bisect_left(self._starts, end) - 1
        return at >= 0 and self._reach[at] > start

    def begin_in(self, first: int, last: int) -> bool:
        """Whether one of them begins at a place from `first` to `last`, both included."""
        at = bisect_left(self._starts, first)
        return at < len(self._starts) and self._starts[at] <= last

"""Hashes of words and of runs of words, a batch of lines at a time, and sets of such hashes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.text_words import lines_of

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[Any, np.dtype[np.uint64]]

LEAST = 4
"""Least words of a line that is searched for by itself."""
AT_ONCE = 60_000
"""Words that are compared at once."""

_BASE = 0x9E3779B97F4A7C15
_LENGTHS = 0xD6E8FEB86659FD93
_BITS = 22
"""Of the table that answers most questions before the exact search."""


def batches(texts: Iterable[str]) -> Iterator[Batch]:
    """The texts, so many at once that their words are `AT_ONCE` or a few more."""
    lines: list[tuple[int, list[str], bool]] = []
    size = 0
    for k, text in enumerate(texts):
        for place, words in enumerate(lines_of(text)):
            if words and (place == 0 or len(words) >= LEAST):
                lines.append((k, words, place == 0))
                size += len(words)
        if size >= AT_ONCE:
            yield Batch(lines)
            lines, size = [], 0
    if lines:
        yield Batch(lines)


class Batch:
    """The lines of some texts under each other: each text whole, then its lines where it has several."""

    def __init__(self, lines: Sequence[tuple[int, list[str], bool]]) -> None:
        import numpy as np

        self.texts = np.array([text for text, _, _ in lines])
        """[L] which text a line is from."""
        self.lengths = np.array([len(words) for _, words, _ in lines])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.owner = np.repeat(np.arange(len(lines)), self.lengths)
        """[N] which line a word is in."""
        total = len(self.owner)
        hashes = (hash(word) for _, words, _ in lines for word in words)
        self.values = np.fromiter(hashes, np.int64, total).view(np.uint64)
        # Single lines are parts of whole texts: runs of words are looked for in the whole texts alone.
        whole = np.array([first for _, _, first in lines])[self.owner]
        self._room = np.where(whole, (self.starts + self.lengths)[self.owner] - np.arange(total), 0)

    def positions(self, length: int) -> Any:
        """Where runs of so many words within a text begin."""
        return where(self._room >= length)

    def lines(self, windows: Windows) -> Hashes:
        """[L] the hash of each line."""
        return windows.at(self.starts, self.lengths)

    def runs(self, windows: Windows, length: int) -> tuple[Hashes, Any]:
        """The hashes of all runs of so many words, and the line that each is in."""
        positions = self.positions(length)
        return windows.at(positions, length), self.owner[positions]


class Windows:
    """Hashes of all runs of some words: polynomials in the words' hashes, modulo 2**64."""

    def __init__(self, values: Hashes) -> None:
        import numpy as np

        powers, self._inverses = _powers(len(values))
        self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values * powers, dtype=np.uint64)])

    def at(self, starts: Any, length: Any) -> Hashes:
        """The runs that begin at `starts`, of one length or each of its own."""
        import numpy as np

        found: Hashes = (self._sums[starts + length] - self._sums[starts]) * self._inverses[starts]
        return found ^ (np.asarray(length).astype(np.uint64) * np.uint64(_LENGTHS))


_POWERS: list[Any] = []


def _powers(length: int) -> tuple[Hashes, Hashes]:
    """The powers of the base and of its inverse modulo 2**64, at least so many."""
    import numpy as np

    if not _POWERS or len(_POWERS[0]) < length:
        size = max(1024, 2 * length)
        inverse = pow(_BASE, -1, 2**64)
        with np.errstate(over="ignore"):
            made = [
                np.concatenate([np.ones(1, np.uint64), np.full(size - 1, base, np.uint64)]).cumprod(dtype=np.uint64)
                for base in (_BASE, inverse)
            ]
        _POWERS[:] = made
    return _POWERS[0][:length], _POWERS[1]


@dataclass(frozen=True)
class Table:
    """A set of hashes."""

    sorted: Hashes
    marks: Any
    """[2**_BITS] bool, by the highest bits: False where no hash begins so."""

    @classmethod
    def of(cls, keys: Hashes) -> Table:
        import numpy as np

        unique = np.unique(keys)
        marks = np.zeros(2**_BITS, bool)
        marks[(unique >> np.uint64(64 - _BITS)).astype(np.int64)] = True
        return cls(unique, marks)

    def holds(self, keys: Hashes) -> Any:
        """[n] bool"""
        import numpy as np

        found = self.marks[(keys >> np.uint64(64 - _BITS)).astype(np.int64)]
        at = np.nonzero(found)[0]
        found[at] = among(keys[at], self.sorted)
        return found


def among(keys: Hashes, known: Hashes) -> Any:
    """[n] bool: which keys are among the sorted known ones."""
    import numpy as np

    if not len(known):
        return np.zeros(len(keys), bool)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return known[places] == keys


def where(mask: Any) -> Any:
    """The places that a mask [n] marks."""
    import numpy as np

    return np.nonzero(mask)[0]

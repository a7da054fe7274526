"""Whether runs of words of some texts occur in others, by hashes: the others are streamed and never kept.

Words are compared without case, punctuation and white space. The index holds one hash for each run of words of the
texts that are searched for; a streamed text costs a few numpy operations, whatever the size of the index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[Any, np.dtype[np.uint64]]

GRAM = 13
"""Words of a run that is no coincidence (Brown et al. 2020, appendix C)."""
CONTAINED = 8
"""Least words of a line that counts when it stands within another text; shorter ones must be a whole line there."""
LEAST = 4
"""Least words of a line that is searched for by itself."""
AT_ONCE = 60_000
"""Words that are compared at once."""

_BASE = 0x9E3779B97F4A7C15
_LENGTHS = 0xD6E8FEB86659FD93
_BITS = 22
"""Of the table that answers most questions before the exact search."""
_WORD = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff]+|[\u3040-\u30ff\u3400-\u9fff]")
"""A word; a sign of Chinese or Japanese is one by itself."""


def split_words(text: str) -> list[str]:
    """The words of a text as they are written."""
    return _WORD.findall(text)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return split_words(text.lower())


def lines_of(text: str) -> list[list[str]]:
    """The words of the whole text, and of each of its lines where there are several with words."""
    lines = [found for line in text.splitlines() if (found := words_of(line))]
    whole = [word for line in lines for word in line]
    return [whole] if len(lines) < 2 else [whole, *lines]


@dataclass(frozen=True)
class Place:
    """Where a run of words was found first."""

    what: str
    """Which collection of texts."""
    row: int
    """Which of its texts, counted from 1."""


@dataclass
class Hit:
    """What of one text was found, and where first."""

    exact: Place | None = None
    """One of its lines, or all of it, word for word."""
    grams: Place | None = None
    """`GRAM` of its words in a row."""
    template: Place | None = None
    """One of both, when the slot words count as one and the same word; where the text itself was found, too."""


class Search:
    """Texts that are searched for: `add` them, `stream` other texts through, then ask for the `hits`.

    `slots` are words that count as one and the same at the level of templates.
    """

    def __init__(self, slots: Collection[str] = ()) -> None:
        import numpy as np

        known = {hash(word.lower()) for word in slots}
        self._slots = np.sort(np.fromiter(known, np.int64, len(known)).view(np.uint64))
        self._keys: dict[tuple[str, str], list[Hashes]] = {}
        self._heads: dict[tuple[str, int], set[int]] = {}
        """Level, and hash of the first words of a line that may stand anywhere -> how long such lines are."""
        self._tables: dict[tuple[str, str], _Table] = {}
        self._seen: dict[tuple[str, str], dict[int, Place]] = {}

    def add(self, texts: Iterable[str]) -> None:
        """Search for these texts, too."""
        for batch in _batches(texts):
            for level, windows in self._levels(batch):
                long = _where(batch.lengths >= CONTAINED)
                heads = windows.at(batch.starts[long], CONTAINED).tolist()
                for head, length in zip(heads, batch.lengths[long].tolist(), strict=True):
                    self._heads.setdefault((level, head), set()).add(length)
                whole, grams = batch.lines(windows), batch.runs(windows, GRAM)
                for kind, keys in (("line", whole), ("part", whole[long]), ("run", grams[0])):
                    self._keys.setdefault((level, kind), []).append(keys)
        self._tables = {}

    def stream(self, what: str, texts: Iterable[str], advance: Callable[[int], None] | None = None) -> int:
        """Look for everything that was added in these texts; gives their number. `advance(n)` is told of n texts."""
        read = told = 0

        def counted() -> Iterator[str]:
            nonlocal read
            for read, text in enumerate(texts, 1):  # noqa: B007 -- told below
                yield text

        for batch in _batches(counted()):
            self._index()
            for level, windows in self._levels(batch):
                for kind, keys, owners in self._found_in(batch, level, windows):
                    seen = self._seen.setdefault((level, kind), {})
                    for key, owner in zip(keys.tolist(), owners.tolist(), strict=True):
                        seen.setdefault(key, Place(what, int(batch.texts[owner]) + 1))
            if advance is not None:
                advance(read - told)
            told = read
        if advance is not None:
            advance(read - told)
        return read

    def hits(self, texts: Sequence[str]) -> list[Hit]:
        """What of each of some texts, all of them added before, has been found."""
        found = [Hit() for _ in texts]
        seen = {name: places for name, places in self._seen.items() if places}
        for batch in _batches(texts) if seen else ():
            for level, windows in self._levels(batch):
                whole = batch.lines(windows), _where(batch.lengths > 0)
                for kind, (keys, owners) in {"line": whole, "part": whole, "run": batch.runs(windows, GRAM)}.items():
                    places = seen.get((level, kind))
                    if places is None:
                        continue
                    hit = _where(_among(keys, _sorted(places)))
                    for key, owner in zip(keys[hit].tolist(), owners[hit].tolist(), strict=True):
                        _note(found[int(batch.texts[owner])], level, kind, places[key])
        return found

    # ------------------------------------------------------------------------------------------------------ hashes
    def _levels(self, batch: _Batch) -> Iterator[tuple[str, _Windows]]:
        import numpy as np

        yield "words", _Windows(batch.values)
        slots = np.where(_among(batch.values, self._slots), np.uint64(1), batch.values)
        yield "template", _Windows(slots)

    def _index(self) -> None:
        if self._tables or not self._keys:
            return
        import numpy as np

        self._tables = {name: _Table.of(np.concatenate(keys)) for name, keys in self._keys.items()}
        for level in ("words", "template"):
            heads = [head for other, head in self._heads if other == level]
            self._tables[level, "head"] = _Table.of(np.array(heads, np.uint64))

    def _found_in(self, batch: _Batch, level: str, windows: _Windows) -> Iterator[tuple[str, Hashes, Any]]:
        """(kind, hashes of what was found, the lines of the batch that it was found in)"""
        import numpy as np

        if not self._tables:
            return
        keys = batch.lines(windows)
        found = self._tables[level, "line"].holds(keys)
        yield "line", keys[found], _where(found)
        keys, owners = batch.runs(windows, GRAM)
        found = self._tables[level, "run"].holds(keys)
        yield "run", keys[found], owners[found]
        positions = batch.positions(CONTAINED)
        heads = windows.at(positions, CONTAINED)
        found = self._tables[level, "head"].holds(heads)
        for position, head in zip(positions[found].tolist(), heads[found].tolist(), strict=True):
            owner = batch.owner[position]
            room = batch.starts[owner] + batch.lengths[owner] - position
            fitting = np.array([n for n in self._heads[level, head] if n <= room], np.int64)
            keys = windows.at(np.full(len(fitting), position), fitting)
            hit = self._tables[level, "part"].holds(keys)
            yield "part", keys[hit], np.full(int(hit.sum()), owner)


def _note(hit: Hit, level: str, kind: str, place: Place) -> None:
    if level == "template":
        hit.template = hit.template or place
    elif kind == "run":
        hit.grams = hit.grams or place
    else:
        hit.exact = hit.exact or place


def _where(mask: Any) -> Any:
    import numpy as np

    return np.nonzero(mask)[0]


def _sorted(places: dict[int, Place]) -> Hashes:
    import numpy as np

    return np.array(sorted(places), np.uint64)


# ------------------------------------------------------------------------------------------------------- batches
class _Batch:
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
        return _where(self._room >= length)

    def lines(self, windows: _Windows) -> Hashes:
        """[L] the hash of each line."""
        return windows.at(self.starts, self.lengths)

    def runs(self, windows: _Windows, length: int) -> tuple[Hashes, Any]:
        """The hashes of all runs of so many words, and the line that each is in."""
        positions = self.positions(length)
        return windows.at(positions, length), self.owner[positions]


def _batches(texts: Iterable[str]) -> Iterator[_Batch]:
    lines: list[tuple[int, list[str], bool]] = []
    size = 0
    for k, text in enumerate(texts):
        for place, words in enumerate(lines_of(text)):
            if words and (place == 0 or len(words) >= LEAST):
                lines.append((k, words, place == 0))
                size += len(words)
        if size >= AT_ONCE:
            yield _Batch(lines)
            lines, size = [], 0
    if lines:
        yield _Batch(lines)


class _Windows:
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
class _Table:
    """A set of hashes."""

    sorted: Hashes
    marks: Any
    """[2**_BITS] bool, by the highest bits: False where no hash begins so."""

    @classmethod
    def of(cls, keys: Hashes) -> _Table:
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
        found[at] = _among(keys[at], self.sorted)
        return found


def _among(keys: Hashes, known: Hashes) -> Any:
    """[n] bool: which keys are among the sorted known ones."""
    import numpy as np

    if not len(known):
        return np.zeros(len(keys), bool)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return known[places] == keys

"""Whether runs of words of some texts occur in others, by hashes: the others are streamed and never kept.

Words are compared without case, punctuation and white space. The index holds one hash for each run of words of the
texts that are searched for; a streamed text costs a few numpy operations, whatever the size of the index.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.word_hashes import Batch, Table, Windows, among, batches, where

if TYPE_CHECKING:
    from evenhand.word_hashes import Hashes

GRAM = 13
"""Words of a run that is no coincidence (Brown et al. 2020, appendix C)."""
CONTAINED = 8
"""Least words of a line that counts when it stands within another text; shorter ones must be a whole line there."""


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
        self._tables: dict[tuple[str, str], Table] = {}
        self._seen: dict[tuple[str, str], dict[int, Place]] = {}

    def add(self, texts: Iterable[str]) -> None:
        """Search for these texts, too."""
        for batch in batches(texts):
            for level, windows in self._levels(batch):
                long = where(batch.lengths >= CONTAINED)
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

        for batch in batches(counted()):
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
        for batch in batches(texts) if seen else ():
            for level, windows in self._levels(batch):
                whole = batch.lines(windows), where(batch.lengths > 0)
                for kind, (keys, owners) in {"line": whole, "part": whole, "run": batch.runs(windows, GRAM)}.items():
                    places = seen.get((level, kind))
                    if places is None:
                        continue
                    hit = where(among(keys, _sorted(places)))
                    for key, owner in zip(keys[hit].tolist(), owners[hit].tolist(), strict=True):
                        _note(found[int(batch.texts[owner])], level, kind, places[key])
        return found

    # ------------------------------------------------------------------------------------------------------ hashes
    def _levels(self, batch: Batch) -> Iterator[tuple[str, Windows]]:
        import numpy as np

        yield "words", Windows(batch.values)
        slots = np.where(among(batch.values, self._slots), np.uint64(1), batch.values)
        yield "template", Windows(slots)

    def _index(self) -> None:
        if self._tables or not self._keys:
            return
        import numpy as np

        self._tables = {name: Table.of(np.concatenate(keys)) for name, keys in self._keys.items()}
        for level in ("words", "template"):
            heads = [head for other, head in self._heads if other == level]
            self._tables[level, "head"] = Table.of(np.array(heads, np.uint64))

    def _found_in(self, batch: Batch, level: str, windows: Windows) -> Iterator[tuple[str, Hashes, Any]]:
        """(kind, hashes of what was found, the lines of the batch that it was found in)"""
        import numpy as np

        if not self._tables:
            return
        keys = batch.lines(windows)
        found = self._tables[level, "line"].holds(keys)
        yield "line", keys[found], where(found)
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


def _sorted(places: dict[int, Place]) -> Hashes:
    import numpy as np

    return np.array(sorted(places), np.uint64)

"""Which tokens a model has to read, and how they lie together in few rows of equal length.

Texts that begin alike (the two sentences of a pair, the answers to one question) form a tree whose shared beginnings
are read once. Trees are packed into rows of R slots, largest first, each into the fullest row that takes it, so that
hardly a slot is padding and all batches have one of few shapes. Within a row a token sees its own ancestors alone; the
mask and the positions say so.

Nothing here runs a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

LENGTH_STEP = 8
"""Lengths of rows are multiples of this."""
SHORTEST = 64
"""Rows of packed texts have at least so many slots: shorter ones leave more of them empty."""
SHARED = 3
"""Texts with fewer tokens in common are read apart: smaller trees leave fewer slots empty."""
ATTENTION = 0.002
"""What one more slot in each row costs a token, in parts of everything else: attention over masked slots."""
MOST = 512
"""Rows of packed texts have at most so many slots, unless one text is longer."""
SAMPLE = 2_000
"""Texts by which the length of rows is chosen."""


@dataclass(frozen=True)
class Row:
    """A sequence, and the positions whose logits are read."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass
class Tree:
    """Texts that begin alike, in slots that are counted from 0."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """Of each slot, the position of its token in the texts that go through it."""
    segments: list[tuple[int, int, tuple[tuple[int, int], ...]]] = field(default_factory=list)
    """(first slot, end, ranges of slots before it that it continues): each segment sees those and itself."""
    reads: list[tuple[int, int]] = field(default_factory=list)
    """(slot, place): the logits at a slot belong to a place, the running number of a position over all rows."""
    rows: int = 0
    _path: list[tuple[int, int]] = field(default_factory=list, repr=False)
    _last: tuple[int, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def shared(self, ids: tuple[int, ...]) -> int:
        """The number of first tokens that a text has in common with the last one that was added."""
        return common(self._last, ids)

    def add(self, ids: tuple[int, ...], shared: int, reads: Sequence[tuple[int, int]]) -> None:
        """Add a text that begins with `shared` tokens of the last one; `reads` are (position, place)."""
        path = _cut(self._path, shared)
        first, end = len(self.ids), len(self.ids) + len(ids) - shared
        if end > first:
            self.ids += ids[shared:]
            self.positions += range(shared, len(ids))
            self.segments.append((first, end, tuple(path)))
            path = [*path[:-1], (path[-1][0], end)] if path and path[-1][1] == first else [*path, (first, end)]
        self._path, self._last = path, ids
        slots = [slot for begin, stop in path for slot in range(begin, stop)] if reads else []
        self.reads += [(slots[position], place) for position, place in reads]
        self.rows += 1


@dataclass
class PackedRow:
    """R slots, and the trees in them with the slot at which each begins."""

    length: int
    used: int = 0
    trees: list[tuple[int, Tree]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(tree.rows for _, tree in self.trees)

    @property
    def plain(self) -> bool:
        """Whether the row is one text from its first slot on, so that the usual masks do."""
        return len(self.trees) == 1 and len(self.trees[0][1].segments) == 1


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the longest common beginning."""
    n = min(len(one), len(other))
    for k in range(n):
        if one[k] != other[k]:
            return k
    return n


def plan(rows: Sequence[Row], *, longest: int, share: bool = True, pack: bool = True) -> list[PackedRow]:
    """The rows of slots that hold all texts whose logits are read, longest rows first.

    `share` reads equal beginnings once, and leaves out what stands behind the last position that is read; only right
    for models in which a token sees what stands before it alone. `pack` puts several trees into one row. `longest` is
    the most slots that a row may have.
    """
    if not pack:
        return _apart(rows, longest)
    capacity = _capacity(rows, longest, share)
    return _packed(_trees(rows, capacity, share), capacity, longest)


def _apart(rows: Sequence[Row], longest: int) -> list[PackedRow]:
    """Each text in a row of its own, the longest first."""
    found = []
    for tree in _trees(rows, 0, share=False):
        found.append(PackedRow(max(len(tree), min(_up(len(tree)), longest)), len(tree), [(0, tree)]))
    return sorted(found, key=lambda row: -row.length)


def _trees(rows: Sequence[Row], capacity: int, share: bool) -> Iterator[Tree]:
    """Trees of at most `capacity` slots, or of one text if that is longer."""
    places, place = [], 0
    for row in rows:
        places.append(place)
        place += len(row.positions)
    ends = [(max(row.positions) + 1 if share else len(row.ids)) if row.positions else 0 for row in rows]
    chosen = [(row.ids[:end], r) for r, (row, end) in enumerate(zip(rows, ends, strict=True)) if end]
    tree = Tree()
    for ids, r in sorted(chosen):
        reads = [(position, places[r] + k) for k, position in enumerate(rows[r].positions)]
        shared = tree.shared(ids) if share else 0
        if shared < min(SHARED, len(ids)) or len(tree) + len(ids) - shared > capacity:
            if len(tree):
                yield tree
            tree, shared = Tree(), 0
        tree.add(ids, shared, reads)
    if len(tree):
        yield tree


def _capacity(rows: Sequence[Row], longest: int, share: bool) -> int:
    """The most slots of a tree: longer rows share more, and cost more attention."""
    lengths = sorted(len(row.ids) for row in rows if row.positions)
    least = min(max(SHORTEST, _up(lengths[len(lengths) // 2])), longest)
    choices = [c for half in (2, 3, 4, 5, 6, 8, 12, 16) if (c := least * half // 2) <= min(longest, MOST)] or [least]
    if len(choices) == 1:
        return choices[0]
    some = sorted(rows, key=lambda row: row.ids)
    start = max(0, (len(some) - SAMPLE) // 2)
    sample = some[start : start + SAMPLE]

    def price(capacity: int) -> float:
        found = _packed(_trees(sample, capacity, share), capacity, longest)
        return sum(row.length * (1 + ATTENTION * row.length) for row in found)

    return min(choices, key=price)


def _packed(trees: Iterator[Tree], capacity: int, longest: int) -> list[PackedRow]:
    """Best fit, largest first. Row lengths are `capacity` times a power of 2, but no longer than their largest tree."""
    ordered = sorted(trees, key=len, reverse=True)
    kinds: dict[int, int] = {}
    for tree in ordered:
        kind = capacity
        while kind < len(tree):
            kind *= 2
        kinds[kind] = max(kinds.get(kind, 0), len(tree))
    lengths = {kind: max(min(kind, _up(most), longest), most) for kind, most in kinds.items()}
    if len(ordered) > 1 and capacity in lengths:
        lengths[capacity] = capacity
    open_rows: dict[int, list[PackedRow]] = {}
    found = []
    for tree in ordered:
        room = next((r for r in range(len(tree), max(open_rows, default=0) + 1) if open_rows.get(r)), None)
        if room is None:
            kind = min(k for k in lengths if k >= len(tree))
            row = PackedRow(lengths[kind])
            found.append(row)
        else:
            row = open_rows[room].pop()
        row.trees.append((row.used, tree))
        row.used += len(tree)
        open_rows.setdefault(row.length - row.used, []).append(row)
    return sorted(found, key=lambda row: -row.length)


def _cut(path: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The first `length` slots of a path of ranges."""
    kept = []
    for first, end in path:
        if length <= 0:
            break
        kept.append((first, min(end, first + length)))
        length -= end - first
    return kept


def _up(number: int, step: int = LENGTH_STEP) -> int:
    return -(-number // step) * step

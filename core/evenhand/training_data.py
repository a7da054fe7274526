"""From a data set with a `text` column to micro-batches: tokens, labels and counterfactual pairs, in few shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Kind, Pairing
from evenhand.pairs import aligned_positions, comparable_positions, group_tokens, token_bins
from evenhand.processes import count
from evenhand.progress import progress
from evenhand.training_batch import Batch, PairBatch

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from evenhand.recipe_model import TrainingSection

MASK_RATE, KEEP_RATE, RANDOM_RATE = 0.15, 0.1, 0.1
"""Masked language modelling as in BERT: 15 % of the pieces, of which 80 % masked, 10 % random, 10 % kept."""
EPOCH_STRIDE = 1_000_000_007
"""Between the seeds of one row in two passes over the data."""
LARGE = 100_000
"""Rows from which not all are prepared, where a training reads only some."""
SAMPLE = 1000
"""Rows from which the mean length is estimated."""
SPARE = 1.25
"""So many times the rows that are needed are drawn: those with nothing to predict drop out."""


@dataclass(frozen=True)
class EncodedPair:
    """One counterfactual of a row: its tokens and the comparable positions (i in the row, j in the counterfactual)."""

    ids: tuple[int, ...]
    positions: tuple[tuple[int, int], ...]
    aligned: bool = True
    """False when it is read as it is."""


@dataclass(frozen=True)
class EncodedRow:
    """One row of the data set as tokens."""

    number: int
    ids: tuple[int, ...]
    columns: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, tuple[EncodedPair, ...]] = field(default_factory=dict)


@dataclass
class Unread:
    """What of a data set a training does not read."""

    rows: int = 0
    """Rows that were looked at."""
    empty: int = 0
    """Of these, rows with nothing to predict, which are left out."""
    cut: int = 0
    """Rows that are cut at the longest that is read."""
    tokens: int = 0
    """Tokens of all rows, before that."""
    lost: int = 0
    """Of these, the tokens behind the cuts."""
    folded: dict[str, int] = field(default_factory=dict)
    """By the key of a pairing, counterfactuals that are left out because nothing is left to compare in them."""

    def as_dict(self) -> dict[str, int]:
        """What a result keeps: all but the counterfactuals, of which its terms tell."""
        return {name: value for name, value in vars(self).items() if name != "folded"}


def rows_of_an_update(settings: TrainingSection) -> int:
    """How many rows all processes together read for one update."""
    return settings.batch_size * settings.gradient_accumulation * count()


def rows_that_are_read(data: Dataset, settings: TrainingSection, tokenizer: Any, seed: int) -> Dataset:
    """A drawn part of a large data set that is enough for a training which reads no more; else the data set itself.

    A training reads its rows in a drawn order, so that to draw them first changes nothing but what is kept in memory.
    """
    import math
    import random

    if len(data) <= LARGE:
        return data
    wanted: float = settings.max_steps * rows_of_an_update(settings)
    if settings.max_tokens is not None:
        some = data.select(range(0, len(data), len(data) // SAMPLE))["text"][:]
        lengths = [len(ids) for ids in tokenizer(some, truncation=True, max_length=settings.max_length)["input_ids"]]
        wanted = settings.max_tokens * len(lengths) / max(1, sum(lengths))
    number = max(settings.batch_size, math.ceil(SPARE * wanted))
    if number >= len(data):
        return data
    return data.select(sorted(random.Random(f"rows-{seed}").sample(range(len(data)), number)))


def encode(
    rows: Dataset,
    tokenizer: Any,
    *,
    kind: Kind,
    max_length: int,
    pairings: Sequence[Pairing] = (),
    columns: Sequence[str] = (),
    vocabulary: int,
    unread: Unread | None = None,
) -> tuple[list[EncodedRow], dict[str, torch.Tensor]]:
    """Tokenise the rows and their counterfactuals. Also gives the bins [V] of each pairing.

    Rows with nothing to predict are left out: of fewer than two tokens, or for a masked model without a piece that can
    be masked. `unread` counts them, and what is cut.
    """
    unread = unread or Unread()
    unique = {p.key: p for p in pairings}
    bins = {key: token_bins(tokenizer, p.bins, vocabulary) for key, p in unique.items()}
    groups = {key: group_tokens(b) for key, b in bins.items()}
    special = frozenset(tokenizer.all_special_ids if kind == "masked" else ())
    encoded = []
    with progress("Preparing training text", total=len(rows)) as bar:
        for number, row in enumerate(rows):
            ids = _tokens(tokenizer, row["text"], max_length, kind)
            bar.advance(1)
            _count(unread, len(ids), _length(tokenizer, row["text"], ids, max_length, kind))
            if not (maskable(ids, special) if kind == "masked" else len(ids) > 1):
                unread.empty += 1
                continue
            pairs = {}
            for key, pairing in unique.items():
                found = []
                for other in pairing.of_row(row) if pairing.of_row else pairing.pair(row["text"]):
                    if isinstance(other, str):
                        other_ids = _tokens(tokenizer, other, max_length, kind)
                    else:
                        other_ids = list(other)[:max_length]
                    if not pairing.aligned:
                        found.append(EncodedPair(tuple(other_ids), (), aligned=False))
                    elif positions := _comparable(ids, other_ids, groups[key], kind):
                        found.append(EncodedPair(tuple(other_ids), tuple(positions)))
                    else:
                        unread.folded[key] = unread.folded.get(key, 0) + 1
                if found:
                    pairs[key] = tuple(found)
            extra = {name: row[name] for name in columns}
            encoded.append(EncodedRow(number, tuple(ids), extra, pairs))
    return encoded, bins


def too_short(kind: Kind) -> str:
    """What no row has where `encode` leaves all of them out."""
    return "two tokens or more" if kind == "causal" else "a piece that can be masked"


def maskable(ids: Sequence[int], special: frozenset[int]) -> list[int]:
    """The places whose pieces a masked model may be asked for: all but those of special tokens."""
    return [k for k, token in enumerate(ids) if token not in special]


def _comparable(ids: list[int], other: list[int], grouped: frozenset[int], kind: Kind) -> list[tuple[int, int]]:
    if kind == "causal":
        return comparable_positions(ids, other, grouped)
    return [(i, j) for i, j in aligned_positions(ids, other) if ids[i] not in grouped]


def _tokens(tokenizer: Any, text: str, max_length: int, kind: Kind) -> list[int]:
    special = kind == "masked"
    return list(tokenizer(text, truncation=True, max_length=max_length, add_special_tokens=special)["input_ids"])


def _length(tokenizer: Any, text: str, ids: list[int], max_length: int, kind: Kind) -> int:
    """How many tokens a text has before it is cut."""
    if len(ids) < max_length:
        return len(ids)
    return len(tokenizer(text, add_special_tokens=kind == "masked", verbose=False)["input_ids"])


def _count(unread: Unread, read: int, length: int) -> None:
    unread.rows += 1
    unread.tokens += length
    unread.cut += length > read
    unread.lost += length - read


@dataclass
class Collator:
    """List of `EncodedRow` -> the dictionary that `Trainer` passes on, with the `Batch` in it."""

    tokenizer: Any
    kind: Kind
    bins: Mapping[str, torch.Tensor]
    seed: int
    multiple: int = 16
    """Lengths are padded to a multiple of this, so that few tensor shapes occur."""
    most: int | None = None
    """But to no more than the model takes."""
    epoch: int = 0
    """Which pass over the data this is, from 0: in each, other pieces of a row are masked (Liu et al. 2019)."""

    def __call__(self, rows: Sequence[EncodedRow]) -> dict[str, Any]:
        import torch

        longest = max(
            [len(r.ids) for r in rows] + [len(p.ids) for r in rows for found in r.pairs.values() for p in found]
        )
        width = -(-longest // self.multiple) * self.multiple
        width = max(longest, min(width, self.most or width))
        input_ids, mask = self._pad([r.ids for r in rows], width)
        labels = input_ids.masked_fill(mask == 0, -100)
        masked: list[set[int]] = []
        if self.kind == "masked":
            for b, row in enumerate(rows):
                masked.append(self._mask_row(row, input_ids[b], labels[b]))
        batch = Batch(
            input_ids=input_ids,
            attention_mask=mask,
            labels=labels,
            rows=torch.tensor([r.number for r in rows]),
            columns={name: [r.columns[name] for r in rows] for name in rows[0].columns},
            pairs={key: self._pairs(key, rows, width, input_ids, masked) for key in self.bins},
        )
        return {"input_ids": input_ids, "attention_mask": mask, "labels": labels, "batch": batch}

    def _pad(self, sequences: Sequence[Sequence[int]], width: int) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        pad = self.tokenizer.pad_token_id or 0
        ids = torch.full((len(sequences), width), pad, dtype=torch.long)
        mask = torch.zeros((len(sequences), width), dtype=torch.long)
        for k, sequence in enumerate(sequences):
            ids[k, : len(sequence)] = torch.tensor(sequence)
            mask[k, : len(sequence)] = 1
        return ids, mask

    def _mask_row(self, row: EncodedRow, ids: torch.Tensor, labels: torch.Tensor) -> set[int]:
        import torch

        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + row.number + self.epoch * EPOCH_STRIDE)
        places = maskable(row.ids, frozenset(self.tokenizer.all_special_ids))
        count = max(1, round(MASK_RATE * len(places)))
        order = torch.randperm(len(places), generator=draw)[:count].tolist()
        chosen = {places[k] for k in order}
        labels.fill_(-100)
        for k in chosen:
            labels[k] = row.ids[k]
            roll = float(torch.rand(1, generator=draw))
            if roll < 1 - KEEP_RATE - RANDOM_RATE:
                ids[k] = self.tokenizer.mask_token_id
            elif roll < 1 - KEEP_RATE:
                ids[k] = int(torch.randint(len(self.tokenizer), (1,), generator=draw))
        return chosen

    def _pairs(
        self, key: str, rows: Sequence[EncodedRow], width: int, input_ids: torch.Tensor, masked: list[set[int]]
    ) -> PairBatch:
        """The counterfactuals of some rows. At the places that are compared they read what the row reads there, a mask
        or a drawn piece: distributions can be compared only where both are asked the same question. Everywhere else
        they stand as they are, so that a group word which is hidden in the row can be read in them as its
        counterpart."""
        import torch

        owners: list[int] = []
        sequences: list[list[int]] = []
        positions: list[tuple[int, int, int]] = []
        for b, row in enumerate(rows):
            for pair in row.pairs.get(key, ()):
                ids, kept = list(pair.ids), pair.positions
                if self.kind == "masked" and pair.aligned:
                    kept = tuple((i, j) for i, j in kept if i in masked[b])
                    if not kept:
                        continue
                    for i, j in kept:
                        ids[j] = int(input_ids[b, i])
                positions += [(len(sequences), i, j) for i, j in kept]
                owners.append(b)
                sequences.append(ids)
        input_ids, mask = self._pad(sequences, width)
        return PairBatch(
            rows=torch.tensor(owners, dtype=torch.long),
            input_ids=input_ids,
            attention_mask=mask,
            positions=torch.tensor(positions, dtype=torch.long).reshape(-1, 3),
            bins=self.bins[key],
        )

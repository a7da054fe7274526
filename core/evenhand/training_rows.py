"""What a training reads: how many rows, as the model reads them, and how many updates a dose of tokens makes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Kind, LossTerm
from evenhand.errors import UsageError
from evenhand.positions import most_tokens
from evenhand.training_checks import demand_pairs
from evenhand.training_data import EncodedRow, Unread, encode, rows_of_an_update, rows_that_are_read, too_short

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.recipe import TrainingSection


NOTED = 0.01
"""The share of the text that may be cut without a word; it is recorded in any case."""


def encoded(
    data: Dataset, losses: Sequence[LossTerm], model: PreTrainedModel, tokenizer: Any, *, kind: Kind,
    settings: TrainingSection, seed: int, idle: Collection[str], title: str, tell: Callable[[str], None],
) -> tuple[list[EncodedRow], dict[str, torch.Tensor], Unread]:  # fmt: skip
    """The rows that are read, as the model reads them, with the pairs and columns that the terms need; what is not."""
    needs = [t.needs for t in losses]
    read = rows_that_are_read(data, settings, tokenizer, seed)
    if read is not data:
        tell(f"of {len(data):,} rows {len(read):,} were drawn, which is more than the training reads")
    unread = Unread()
    rows, bins = encode(
        read,
        tokenizer,
        kind=kind,
        max_length=settings.max_length,
        pairings=[n.counterfactual for n in needs if n.counterfactual],
        columns=tuple(dict.fromkeys(c for n in needs for c in n.columns)),
        vocabulary=model.get_input_embeddings().num_embeddings,
        unread=unread,
    )
    if not rows:
        raise UsageError(f"no row has {too_short(kind)}, there is nothing to learn from", where=title)
    pairs = demand_pairs(losses, rows, unread.folded, idle=idle, where=title)
    for text in [*_told(unread, kind, settings, most_tokens(model)), *pairs]:
        tell(text)
    return rows, bins, unread


def _told(unread: Unread, kind: Kind, settings: TrainingSection, most: int) -> list[str]:
    """In words, what of the text is not read; cuts where they take a share of it that matters."""
    told = []
    if unread.empty:
        verb = "is" if unread.empty == 1 else "are"
        told.append(f"{unread.empty:,} of {unread.rows:,} rows {verb} left out, without {too_short(kind)}")
    if unread.lost and unread.lost >= NOTED * unread.tokens:
        verb = "is" if unread.cut == 1 else "are"
        advice = "; a higher training.max_length reads more" if settings.max_length < most else ""
        told.append(
            f"{unread.cut:,} of {unread.rows:,} rows {verb} longer than {settings.max_length:,} tokens and {verb} cut "
            f"there: {100 * unread.lost / unread.tokens:.0f} % of the text is not read{advice}"
        )
    return told


def read_again(settings: TrainingSection, rows: Sequence[EncodedRow]) -> bool:
    """Whether a training reads more rows than there are, so that some come twice."""
    return settings.max_steps * rows_of_an_update(settings) > len(rows)


def in_updates(settings: TrainingSection, rows: Sequence[EncodedRow]) -> TrainingSection:
    """Settings with `max_steps` updates, where they give a dose in tokens.

    An update reads whole rows, drawn at random, so that what is read comes near the dose without being equal to it. The
    dose is what all processes read together.
    """
    if settings.max_tokens is None:
        return settings
    read = sum(len(row.ids) + sum(len(pair.ids) for pairs in row.pairs.values() for pair in pairs) for row in rows)
    an_update = rows_of_an_update(settings) * read / len(rows)
    return settings.model_copy(update={"max_steps": max(1, round(settings.max_tokens / an_update))})

"""What a training reads: how many rows, as the model reads them, and how many updates a dose of tokens makes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Kind, LossTerm
from evenhand.errors import UsageError
from evenhand.training_checks import demand_pairs
from evenhand.training_data import EncodedRow, encode, rows_of_an_update, rows_that_are_read, too_short

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.recipe import TrainingSection


def encoded(
    data: Dataset, losses: Sequence[LossTerm], model: PreTrainedModel, tokenizer: Any, *, kind: Kind,
    settings: TrainingSection, seed: int, idle: Collection[str], title: str, tell: Callable[[str], None],
) -> tuple[list[EncodedRow], dict[str, torch.Tensor]]:  # fmt: skip
    """The rows that are read, as the model reads them, with the pairs and columns that the terms need."""
    needs = [t.needs for t in losses]
    read = rows_that_are_read(data, settings, tokenizer, seed)
    if read is not data:
        tell(f"of {len(data):,} rows {len(read):,} were drawn, which is more than the training reads")
    folded: dict[str, int] = {}
    rows, bins = encode(
        read,
        tokenizer,
        kind=kind,
        max_length=settings.max_length,
        pairings=[n.counterfactual for n in needs if n.counterfactual],
        columns=tuple(dict.fromkeys(c for n in needs for c in n.columns)),
        vocabulary=model.get_input_embeddings().num_embeddings,
        folded=folded,
    )
    if not rows:
        raise UsageError(f"no row has {too_short(kind)}, there is nothing to learn from", where=title)
    for text in demand_pairs(losses, rows, folded, idle=idle, where=title):
        tell(text)
    return rows, bins


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

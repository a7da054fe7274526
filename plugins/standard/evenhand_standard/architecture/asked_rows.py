"""Rows of tokens with the places at which a model is asked how it would go on, read a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ROWS_AT_ONCE = 16
"""Rows of one forward pass, at most."""
TOKENS_AT_ONCE = 1_600
"""Tokens of one forward pass, at most, unless one text has more: their logits are held together."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """One row of tokens, and the places whose distributions are wanted."""

    ids: Ids
    places: tuple[int, ...]


def hidden(ids: Ids, place: int, tokenizer: Any) -> Ids:
    """The row with a mask at that place."""
    return (*ids[:place], int(tokenizer.mask_token_id), *ids[place + 1 :])


def logits_at(model: PreTrainedModel, rows: Sequence[Asked], pad: int) -> torch.Tensor:
    """Logits [places, V] of all rows, in order; shorter rows are filled up with `pad`."""
    import torch

    model.eval()
    longest = max(len(row.ids) for row in rows)
    ids = torch.tensor([[*row.ids, *[pad] * (longest - len(row.ids))] for row in rows])
    mask = torch.tensor([[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows])
    out = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits
    row_of = [k for k, row in enumerate(rows) for _ in row.places]
    places = [place for row in rows for place in row.places]
    return out[row_of, places]


def batches(items: Sequence[Any], rows_of: Callable[[Any], Sequence[Asked]]) -> Iterator[list[Any]]:
    """The items in order, as many together as one pass takes."""
    held: list[Any] = []
    rows, longest = 0, 0
    for item in items:
        own = rows_of(item)
        widest = max(longest, *(len(row.ids) for row in own))
        more = rows + len(own)
        if held and (more > ROWS_AT_ONCE or more * widest > TOKENS_AT_ONCE):
            yield held
            held, more, widest = [], len(own), max(len(row.ids) for row in own)
        held.append(item)
        rows, longest = more, widest
    if held:
        yield held

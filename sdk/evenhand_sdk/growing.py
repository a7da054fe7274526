"""Next-token logits of sequences that grow by a token at a time, with a key-value cache of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class GrowingSequences:
    """For rules that read the model in another state than the host does, such as with an adapter switched on.

    What continues a sequence of the last call costs one token; anything else is read anew. The model must be in the
    same state in each call, and so must all that it computes with.
    """

    def __init__(self, model: Any, pad: int = 0) -> None:
        from evenhand.decoding_reader import Reader

        self._reader = Reader(model, (), pad)

    def free(self) -> None:
        """Forget the sequences and their cache; the next call reads anew."""
        self._reader.forget()

    def next_logits(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        """[n, V] in float32, behind the last token of each sequence; none may be empty."""
        return self._reader.forward([list(s) for s in sequences])

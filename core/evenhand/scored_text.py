"""A text as the likelihood engine sees it, and the score that it gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.errors import UsageError
from evenhand.pairs import framing_tokens

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Text = str | Sequence[int]
"""A text, or its token ids with every special token that the model should see."""


@dataclass(frozen=True)
class SequenceScore:
    """The log-probability of each token of a sequence."""

    ids: tuple[int, ...]
    logp: np.ndarray[Any, Any]
    """[T] float32 in nat; nan at tokens that were not scored, such as a first one without a start token."""
    total: float
    """The sum over scored tokens."""
    n: int
    """The number of scored tokens."""

    @property
    def mean(self) -> float:
        """Nat per scored token; nan when none was scored."""
        return self.total / self.n if self.n else float("nan")

    def over(self, positions: Iterable[int]) -> float:
        """The sum over chosen positions; nan when one of them was not scored."""
        return float(sum((float(self.logp[p]) for p in positions), 0.0))


def score_of(ids: tuple[int, ...], values: dict[int, float]) -> SequenceScore:
    """A score from the log-probabilities of the positions that were scored."""
    import numpy as np

    logp = np.full(len(ids), np.nan, dtype=np.float32)
    for position, value in values.items():
        logp[position] = value
    return SequenceScore(ids, logp, float(np.sum(list(values.values()), dtype=np.float64)), len(values))


def token_ids(tokenizer: PreTrainedTokenizerBase, text: Text) -> tuple[int, ...]:
    """The ids that the model sees: of a text with the tokenizer's own special tokens; ids are left as they
    are."""
    if isinstance(text, str):
        # Whether a text is too long is judged by what scores it, so that the tokenizer need not warn of it.
        return tuple(int(i) for i in tokenizer(text, verbose=False)["input_ids"])
    return tuple(int(i) for i in text)


def embeddings(model: PreTrainedModel) -> int | None:
    """For how many tokens a model has embeddings; None where it does not say."""
    found = getattr(model.get_input_embeddings(), "num_embeddings", None)
    return found if isinstance(found, int) else None


def demand_embedded(model: PreTrainedModel, ids: Iterable[int]) -> None:
    """Raises UsageError for a token that the model has no embedding for: one that was added to the tokenizer alone."""
    places, largest = embeddings(model), max(ids, default=-1)
    if places is not None and largest >= places:
        raise UsageError(
            f"a text has the token number {largest:,}, and the model embeddings for {places:,} tokens alone",
            where="tokenizer",
            known="tokens were added to the tokenizer that the model was never given",
            do="give the tokenizer that the model was trained with",
        )


def adds_start_token(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer puts a special token before a text."""
    ids = token_ids(tokenizer, "a")
    return bool(ids) and ids[0] in framing_tokens(tokenizer)

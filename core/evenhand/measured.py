"""The model under test, as a benchmark sees it: what it finds how probable, and what it answers.

Answers are cached by content, so that two benchmarks that ask for the same text compute it once.
Distributions are not: one of them is as long as the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from evenhand.contributions import DecodingRule, Kind, Request, Response
from evenhand.errors import UsageError
from evenhand.scoring import SequenceScore, Text, describe_mode, distributions, forward_of, pll, score_texts, token_ids
from evenhand.scoring_continuations import score_continuations
from evenhand.scoring_precision import Precision, resolve

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Measured:
    """A model with its tokenizer and its active decoding rules, ready to be measured.

    The model must not change while this object is used: make a new one after each change.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        kind: Kind,
        rules: Sequence[DecodingRule] = (),
        dtype: Precision = "auto",
        batch_tokens: int = 4096,
        on_event: Callable[[str], None] | None = None,
        seed: int = 0,
        *,
        title: str | None = None,
    ) -> None:
        self.model, self.tokenizer, self.kind = model, tokenizer, kind
        self.rules = tuple(rules)
        self.seed = seed
        self.title = title
        """The words beside the progress bar; None shows none."""
        self.precision = resolve(model, dtype)
        """The number format: `float32`, `bf16` (autocast over float32 weights), or that of the weights."""
        self._dtype: Precision = "bf16" if self.precision == "bf16" else "float32"
        self._batch_tokens, self._on_event = batch_tokens, on_event
        self._scores: dict[Hashable, SequenceScore] = {}
        self._responses: dict[Hashable, Response] = {}

    @property
    def mode(self) -> str:
        """How scores come about, in one line to print with every number."""
        return describe_mode(self.tokenizer, kind=self.kind, precision=self.precision, rules=self.rules)

    @property
    def vocabulary(self) -> int:
        """V, the length of a distribution; a tokenizer may know fewer entries."""
        return forward_of(self.model, self.tokenizer).vocabulary

    @property
    def longest(self) -> int:
        """The most tokens that a sequence may have."""
        return forward_of(self.model, self.tokenizer).longest

    def ids(self, text: Text) -> tuple[int, ...]:
        """The token ids that the model sees of a text."""
        return token_ids(self.tokenizer, text)

    def score(self, texts: Sequence[Text]) -> list[SequenceScore]:
        """Log-probabilities in nat of the tokens of each text (masked models: pseudo-log-likelihoods)."""
        if self.kind == "masked":
            return self.pll(texts)
        keys = [("score", self.ids(text)) for text in texts]
        return _cached(
            self._scores,
            keys,
            lambda missing: score_texts(
                self.model, self.tokenizer, [ids for _, ids in missing], rules=self.rules, **self._how()
            ),
        )

    def pll(self, texts: Sequence[Text], positions: Sequence[Sequence[int]] | None = None) -> list[SequenceScore]:
        """Pseudo-log-likelihood of chosen tokens of each text, by default of all that are not special.

        Raises UsageError for a tokenizer without a mask token.
        """
        special = set(self.tokenizer.all_special_ids)
        all_ids = [self.ids(text) for text in texts]
        asked = positions or [[p for p, i in enumerate(ids) if i not in special] for ids in all_ids]
        keys = [("pll", ids, tuple(ps)) for ids, ps in zip(all_ids, asked, strict=True)]
        return _cached(
            self._scores,
            keys,
            lambda missing: pll(
                self.model, self.tokenizer, [k[1] for k in missing], [k[2] for k in missing], **self._how()
            ),
        )

    def continuations(self, pairs: Sequence[tuple[str, str]]) -> list[SequenceScore]:
        """Log-probability of each continuation after its context: pairs of (context, continuation)."""
        keys = [("continuation", *pair) for pair in pairs]
        return _cached(
            self._scores,
            keys,
            lambda missing: score_continuations(
                self.model,
                self.tokenizer,
                [(context, continuation) for _, context, continuation in missing],
                kind=self.kind,
                rules=self.rules,
                **self._how(),
            ),
        )

    def distributions(self, ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Log-probabilities [n, V] float32 at chosen positions of each sequence; ask for a few texts at a
        time.

        Causal models: at position t the distribution of token t + 1, with the decoding rules. Masked models:
        the distribution of token t when it is masked. Raises UsageError for a masked model without a mask
        token.
        """
        mask = None
        if self.kind == "masked":
            mask = self.tokenizer.mask_token_id
            if mask is None:
                raise UsageError("the tokenizer has no mask token", where="distributions")
        how = {key: value for key, value in self._how().items() if key != "progress_title"}
        return distributions(self.model, ids, positions, rules=self.rules, mask_id=mask, **how)

    def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Greedy answers to requests, with all decoding rules. Raises WrongModelKind for masked models."""
        from evenhand.generation import generate

        keys = [("answer", r.prompt, r.max_new_tokens, r.seed, repr(sorted(r.meta.items()))) for r in requests]
        request_of = dict(zip(keys, requests, strict=True))

        def answer(missing: list[tuple[str, str, int, int | None, str]]) -> list[Response]:
            asked = [request_of[key] for key in missing]
            title = self.title or "Generating"
            return generate(self.model, self.tokenizer, asked, rules=self.rules, seed=self.seed, title=title)

        return _cached(self._responses, keys, answer)

    def _how(self) -> dict[str, Any]:
        return {
            "dtype": self._dtype,
            "batch_tokens": self._batch_tokens,
            "on_event": self._on_event,
            "progress_title": self.title,
        }


def _cached(
    known: dict[Hashable, Value], keys: Sequence[Key], compute: Callable[[list[Key]], Sequence[Value]]
) -> list[Value]:
    """The value of each key; those not known are computed in one go."""
    missing = list(dict.fromkeys(key for key in keys if key not in known))
    if missing:
        known.update(zip(missing, compute(missing), strict=True))
    return [known[key] for key in keys]

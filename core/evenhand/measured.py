"""The model under test, as a benchmark sees it: what it finds how probable, and what it answers.

Answers are cached by content, so that two benchmarks that ask for the same text compute it once.
Distributions are not: one of them is as long as the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from evenhand.contributions import DecodingRule, Kind, Request, Response
from evenhand.errors import UsageError, WrongModelKind
from evenhand.pairs import framing_tokens
from evenhand.scored_text import SequenceScore, Text, score_of, token_ids
from evenhand.scoring import describe_mode, distributions, forward_of, pll, score_texts
from evenhand.scoring_continuations import closing_tokens as _closing
from evenhand.scoring_continuations import score_continuations
from evenhand.scoring_forward import demand_room
from evenhand.scoring_gold import gold_logp
from evenhand.scoring_packing import Row
from evenhand.scoring_precision import Precision, measuring, resolve

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


AT_ONCE = 32
"""Texts whose distributions are held at once."""
ANSWERED_AT_ONCE = 32
"""Requests that are answered in one batch."""


@dataclass(frozen=True)
class Filling:
    """A word that a model finds likely at a place."""

    text: str
    """As the tokenizer spells it, without space around it."""
    token: int
    logp: float
    """Nat."""


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

    def score(self, texts: Sequence[Text], ends: Sequence[int] | None = None) -> list[SequenceScore]:
        """Log-probabilities in nat of the tokens of each text (masked models: pseudo-log-likelihoods).

        Causal models: with `ends`, of so many tokens at the end of each text alone, which saves the logits of the
        others.
        """
        if self.kind == "masked":
            return self.pll(texts)
        lengths = [None] * len(texts) if ends is None else ends
        keys = [("score", self.ids(text), end) for text, end in zip(texts, lengths, strict=True)]
        return _cached(
            self._scores,
            keys,
            lambda missing: score_texts(
                self.model, self.tokenizer, [key[1] for key in missing], rules=self.rules,
                ends=None if ends is None else [int(key[2] or 0) for key in missing], **self._how(),
            ),
        )  # fmt: skip

    def pll(self, texts: Sequence[Text], positions: Sequence[Sequence[int]] | None = None) -> list[SequenceScore]:
        """Pseudo-log-likelihood of chosen tokens of each text, by default of all but the special ones around it.

        Raises UsageError for a tokenizer without a mask token.
        """
        framing = framing_tokens(self.tokenizer)
        all_ids = [self.ids(text) for text in texts]
        asked = positions or [[p for p, i in enumerate(ids) if i not in framing] for ids in all_ids]
        keys = [("pll", ids, tuple(ps)) for ids, ps in zip(all_ids, asked, strict=True)]
        return _cached(
            self._scores,
            keys,
            lambda missing: pll(
                self.model,
                self.tokenizer,
                [k[1] for k in missing],
                [k[2] for k in missing],
                rules=self.rules,
                **self._how(),
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

        Causal models: at position t the distribution of token t + 1. Masked models: the distribution of token t when it
        is masked. Both with the decoding rules. Raises UsageError for a masked model without a mask token.
        """
        mask = None
        if self.kind == "masked":
            mask = self.tokenizer.mask_token_id
            if mask is None:
                raise UsageError("the tokenizer has no mask token", where="distributions")
        how = {key: value for key, value in self._how().items() if key != "progress_title"}
        return distributions(self.model, ids, positions, rules=self.rules, mask_id=mask, **how)

    def top(self, prompts: Sequence[str], k: int) -> list[list[Filling]]:
        """The k likeliest tokens after each prompt (masked models: at the one mask in each text), likeliest first.

        Where the vocabulary is smaller than k, all of it. Raises UsageError for a k below 1, and for a text of a masked
        model that has no mask, or several.
        """
        if k < 1:
            raise UsageError(f"k is {k}, and at least 1 word must be asked for", where="fillings")
        ids = [self.ids(prompt) for prompt in prompts]
        if self.kind == "masked":
            mask = self.tokenizer.mask_token_id
            places = [[p for p, token in enumerate(row) if token == mask] for row in ids]
            for prompt, found in zip(prompts, places, strict=True):
                if len(found) != 1:
                    raise UsageError(
                        f"the text {prompt!r} has {len(found)} masks instead of one",
                        where="fillings",
                        do=f"write the mask as {self.tokenizer.mask_token}",
                    )
        else:
            closing = _closing(self.tokenizer)
            ids = [row[: len(row) - closing] for row in ids]
            places = [[len(row) - 1] for row in ids]
        result = []
        for start in range(0, len(ids), AT_ONCE):
            rows = self.distributions(ids[start : start + AT_ONCE], places[start : start + AT_ONCE])
            for row in rows:
                values, tokens = row[0].topk(min(k, row.shape[-1]))
                words = [self.tokenizer.decode([t]).strip() for t in tokens.tolist()]
                result.append([Filling(*f) for f in zip(words, tokens.tolist(), values.tolist(), strict=True)])
        return result

    def unmasked(self, texts: Sequence[Text]) -> list[SequenceScore]:
        """Masked models: the log-probability of each token with nothing masked (AUL, Kaneko and Bollegala 2022).

        Decoding rules change distributions at masks, and there is none here: these numbers are without them. Raises
        WrongModelKind for causal models.
        """
        self._must_be_masked("all-unmasked likelihood")
        framing = framing_tokens(self.tokenizer)
        ids = [self.ids(text) for text in texts]
        rows = [Row(row, tuple(p for p, i in enumerate(row) if i not in framing)) for row in ids]
        forward = forward_of(
            self.model,
            self.tokenizer,
            kind="masked",
            dtype=self._dtype,
            batch_tokens=self._batch_tokens,
            on_event=self._on_event,
        )
        values = iter(gold_logp(forward, rows, [r.ids[p] for r in rows for p in r.positions], (), self.title))
        return [score_of(row.ids, {p: float(next(values)) for p in row.positions}) for row in rows]

    def attention_weights(self, texts: Sequence[Text]) -> list[np.ndarray[Any, Any]]:
        """[T] for each text: the attention that each token receives, averaged over layers, heads and queries (AULA).

        The model is switched to eager attention meanwhile, since the others return no weights. One text at a time.
        """
        from evenhand.model_insides import received_attention

        ids = [self.ids(text) for text in texts]
        demand_room([len(row) for row in ids], self.longest)
        return received_attention(self.model, ids, self.precision)

    def hidden(
        self, texts: Sequence[str], *, layer: int = -1, pooling: Literal["first", "last", "mean"] = "last"
    ) -> torch.Tensor:
        """[N, H] float32: a hidden state of each text, of its first, its last, or the mean of its tokens.

        Layer 0 is the embeddings, -1 the last; special tokens count as the tokenizer sets them. Raises UsageError for
        states that are no finite numbers, and for a text that is longer than the context.
        """
        from evenhand.model_insides import hidden_states
        from evenhand.scoring_gold import demand_numbers

        ids, pad = [self.ids(text) for text in texts], int(self.tokenizer.pad_token_id or 0)
        demand_room([len(row) for row in ids], self.longest)
        found = hidden_states(self.model, ids, self.precision, layer=layer, pooling=pooling, pad=pad)
        demand_numbers(~found.isfinite().all(-1), "texts")
        return found

    def generate(self, requests: Sequence[Request], *, temperature: float = 0.0, top_p: float = 1.0) -> list[Response]:
        """Answers to requests, with all decoding rules; `temperature` 0 is greedy, `top_p` below 1 cuts the tail.

        The same request and seed give the same answer whatever else is asked; in bf16, whose rounding depends on the
        batch, as long as the same is asked with it. Several samples of one prompt are several requests with different
        seeds. Raises WrongModelKind for masked models.
        """
        from evenhand.generation import generate

        keys = [
            (
                "answer",
                r.prompt,
                r.max_new_tokens,
                r.seed,
                repr((sorted(r.meta.items()), *r.turns)),
                r.temperature,
                temperature,
                top_p,
            )
            for r in requests
        ]
        request_of: dict[Hashable, Request] = dict(zip(keys, requests, strict=True))

        def answer(missing: list[tuple[Any, ...]]) -> list[Response]:
            # Prompts of like length are answered together: less padding, and less rounding that depends on the batch.
            order = sorted(range(len(missing)), key=lambda k: (len(missing[k][1]), k))
            with measuring(self.model, self.precision):
                found = generate(
                    self.model,
                    self.tokenizer,
                    [request_of[missing[k]] for k in order],
                    rules=self.rules,
                    temperature=temperature,
                    top_p=top_p,
                    seed=self.seed,
                    batch_size=ANSWERED_AT_ONCE,
                    title=self.title or "Generating",
                )
            return [response for _, response in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]

        return _cached(self._responses, keys, answer)

    def _must_be_masked(self, what: str) -> None:
        if self.kind != "masked":
            raise WrongModelKind(
                f"{what} needs a masked language model, this is a causal one",
                where="scoring",
                do="choose another benchmark, or another definition of this one",
            )

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

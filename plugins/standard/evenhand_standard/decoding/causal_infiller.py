"""A causal model as an infiller: it reads what stands before a word, and tries a word to put there on what follows.

For each of the best words by the score of `infillers.py`, the same sum is taken over log p of what follows it, up to
the next hidden word; the whole decides. So a model that reads in one direction sees both sides of a gap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand_standard.decoding.infillers import Reader, Reading, Span, Text, Voice, Voices, Weights, joined, speaking

if TYPE_CHECKING:
    import torch


class CausalInfiller(Reader):
    """A causal model: what stands before a word is read, and a word to put there is tried on what follows.

    It is read by the host's scoring, in float32, which is independent of the format of a measurement around it.
    """

    def __init__(self, tokenizer: Any, voices: Voices, services: Any) -> None:
        super().__init__(tokenizer, voices)
        self.services = services

    def _begun(self, voice: Voice) -> list[int]:
        begin = self.tokenizer.bos_token_id
        first = begin if begin is not None else self.tokenizer.eos_token_id
        return [first, *(self.ids(f"{voice.words}\n") if voice.words else [])]

    @property
    def _every(self) -> list[Voice]:
        return [self.voices.base, *self.voices.towards, *self.voices.away]

    def _parts(self, found: Sequence[Any]) -> tuple[Any, Sequence[Any], Sequence[Any]]:
        """Of what each voice found: that of the base, of those that are followed, of those that are avoided."""
        n = 1 + len(self.voices.towards)
        return found[0], found[1:n], found[n:]

    def _by_model(self) -> list[list[int]]:
        """The numbers of the voices that one call can ask: those of one model without or with the same adapter."""
        kinds = [(id(voice.model), id(voice.adapter)) for voice in self._every]
        return [[k for k, kind in enumerate(kinds) if kind == each] for each in dict.fromkeys(kinds)]

    def _all(self, ids: Sequence[int], places: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probabilities [n, V] with which the tokens at some places of a text are expected: base, E and A."""
        found: dict[int, torch.Tensor] = {}
        for numbers in self._by_model():
            told = [self._begun(self._every[k]) for k in numbers]
            rows, where = [[*t, *ids] for t in told], [[len(t) - 1 + place for place in places] for t in told]
            with speaking(self._every[numbers[0]]) as model:
                parts = self.services.distributions(rows, model=model, positions=where, dtype="float32")
            found |= {k: part.to(self.device) for k, part in zip(numbers, parts, strict=True)}
        own, towards, away = self._parts([found[k] for k in range(len(found))])
        return own, joined(towards), joined(away)

    def _rest(self, rows: Sequence[Sequence[int]], start: int) -> tuple[list[float], list[float], list[float]]:
        """log p of each text from a place on: by the base, and the means over both kinds of voice."""
        found: dict[int, list[float]] = {}
        for numbers in self._by_model():
            told = [self._begun(self._every[k]) for k in numbers]
            asked = [[*t, *row] for t in told for row in rows]
            with speaking(self._every[numbers[0]]) as model:
                scores = iter(self.services.score(asked, model=model, dtype="float32"))
            for k, t in zip(numbers, told, strict=True):
                found[k] = [float(next(scores).over(range(len(t) + start, len(t) + len(row)))) for row in rows]
        own, towards, away = self._parts([found[k] for k in range(len(found))])

        def mean(every: Sequence[list[float]]) -> list[float]:
            return [sum(parts) / len(parts) for parts in zip(*every, strict=True)]

        return own, mean(towards), mean(away)

    def read(self, text: Text) -> Reading:
        import torch

        ids, words, places = self.pieces(text)
        if not words:
            return Reading((), (), (), ())
        own, towards, away = self._all(ids, range(len(ids)))
        tokens = torch.tensor(ids, device=self.device)
        return self.reading(words, [(own[at], towards[at], away[at]) for at in places], [tokens[at] for at in places])

    def proposed(self, text: Text, span: Span, hidden: Sequence[Span], weights: Weights) -> list[str]:
        before = text[: span[0]].rstrip()
        until = min((a for a, _ in hidden if a > span[1]), default=len(text))
        after = text[span[1] : until].rstrip()
        ids = self.ids(before)
        own, towards, away = self._all(ids, [len(ids)])
        score = self.score(own[0], towards[0], away[0], self.ids(text), weights)
        best = score.topk(min(weights.shortlist, len(score)))
        tried = [t for t, s in zip(best.indices.tolist(), best.values.tolist(), strict=True) if s > -math.inf]
        if not tried or not after:
            return [self.word(t) for t in tried]
        rows = [self.ids(f"{before} {self.word(t)}{after}") for t in tried]
        rest = zip(tried, *self._rest(rows, len(ids) + 1), strict=True)
        whole = {t: float(score[t]) + b + weights.towards * p - weights.away * m for t, b, p, m in rest}
        return [self.word(t) for t in sorted(tried, key=lambda t: -whole[t])]

    def states(self, text: Text) -> torch.Tensor:
        import torch

        ids = [*self._begun(self.voices.base), *self.ids(text)]
        with speaking(self.voices.base) as model:
            found = model(
                input_ids=torch.tensor([ids], device=self.device), output_hidden_states=True, use_cache=False
            ).hidden_states
        return found[len(found) // 2][0, 1:].float()  # type: ignore[no-any-return]

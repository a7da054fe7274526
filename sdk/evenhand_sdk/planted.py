"""Planted models: stand-ins with known answers, on which a benchmark tests itself before it is used.

planted = PlantedModel(logp=lambda text: 0.0 if text in stereotypes else -1.0)
records = score(planted, items)          # the benchmark's own scoring, as with a real model
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evenhand.contributions import Request, Response
from evenhand.errors import UsageError

if TYPE_CHECKING:
    import torch

    from evenhand.measured import Filling
    from evenhand.scored_text import SequenceScore

_TOKEN = re.compile(r"\s*\[(?:MASK|END)\]|\s*\w+|\s*[^\w\s]")


@dataclass
class PlantedTokenizer:
    """Words and punctuation marks as tokens, numbered in order of appearance; no start token; id 0 is the mask."""

    ids: dict[str, int] = field(default_factory=lambda: {"[MASK]": 0, "[END]": 1})
    all_special_ids: Sequence[int] = (0, 1)
    bos_token_id: int | None = 1
    eos_token_id: int | None = 1
    mask_token_id: int | None = 0
    unk_token_id: int | None = None
    mask_token: str = "[MASK]"

    def __call__(self, text: str | Sequence[str], add_special_tokens: bool = True) -> dict[str, list[Any]]:
        """The ids of a text, or of each of several, under the name that tokenizers give them.

        There are no special tokens to add.
        """
        if isinstance(text, str):
            return {"input_ids": list(self.encode(text))}
        return {"input_ids": [list(self.encode(one)) for one in text]}

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text."""
        return tuple(self.ids.setdefault(word.strip(), len(self.ids)) for word in _TOKEN.findall(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The words of ids, with single spaces."""
        words = {number: word for word, number in self.ids.items()}
        return " ".join(words[i] for i in ids)


@dataclass
class PlantedModel:
    """Answers what a benchmark asks of a model, by rules that are given instead of weights.

    What was not given is not answered: UsageError.
    """

    logp: Callable[[str], float] | None = None
    """The log-probability of each token of a text, in nat: whole texts, `score` and `pll`."""
    continuation: Callable[[str, str], float] | None = None
    """(context, continuation) -> log-probability of the whole continuation, in nat."""
    answer: Callable[[Request], str] | None = None
    """The text that is generated for a request."""
    fill: Callable[[str], Sequence[tuple[str, float]]] | None = None
    """A prompt, or a text with a mask -> words with their probabilities, likeliest first."""
    distribution: Callable[[str], Mapping[str, float]] | None = None
    """What stands before a word (masked models: the text with the mask) -> probabilities of words; the rest is spread
    evenly over the vocabulary."""
    kind: Literal["causal", "masked"] = "causal"
    tokenizer: Any = field(default_factory=PlantedTokenizer)
    vocabulary: int = 4096
    """Length of a distribution; more words than that cannot be used with `distribution`."""
    title: str | None = None
    seed: int = 0
    longest: int = 2**31
    mode: str = "planted"

    def ids(self, text: str | Sequence[int]) -> tuple[int, ...]:
        """The ids of a text; ids are left as they are."""
        return self.tokenizer.encode(text) if isinstance(text, str) else tuple(text)

    def score(self, texts: Sequence[str | Sequence[int]], ends: Sequence[int] | None = None) -> list[SequenceScore]:
        """Every token of a text has the same log-probability, its first one too; or so many at its end."""
        if ends is None or self.kind == "masked":
            return self.pll(texts)
        lengths = [len(self.ids(text)) for text in texts]
        return self.pll(texts, [range(max(0, n - end), n) for n, end in zip(lengths, ends, strict=True)])

    def pll(
        self, texts: Sequence[str | Sequence[int]], positions: Sequence[Sequence[int]] | None = None
    ) -> list[SequenceScore]:
        """As `score`, at chosen positions."""
        from evenhand.scored_text import score_of

        rule = self._given("logp", self.logp)
        found = []
        for k, text in enumerate(texts):
            ids = self.ids(text)
            asked = range(len(ids)) if positions is None else positions[k]
            words = text if isinstance(text, str) else self.tokenizer.decode(text)
            found.append(score_of(ids, dict.fromkeys(asked, rule(words))))
        return found

    def unmasked(self, texts: Sequence[str | Sequence[int]]) -> list[SequenceScore]:
        """As `pll`."""
        return self.pll(texts)

    def continuations(self, pairs: Sequence[tuple[str, str]]) -> list[SequenceScore]:
        """The given log-probability, spread evenly over the tokens of the continuation."""
        from evenhand.scored_text import score_of

        rule = self._given("continuation", self.continuation)
        found = []
        for context, continuation in pairs:
            before, after = self.ids(context), self.ids(continuation)
            each = rule(context, continuation) / len(after)
            found.append(score_of(before + after, {len(before) + k: each for k in range(len(after))}))
        return found

    def top(self, prompts: Sequence[str], k: int) -> list[list[Filling]]:
        """The k likeliest words that were given for a prompt."""
        from evenhand.measured import Filling

        rule = self._given("fill", self.fill)
        return [[Filling(word, -1, math.log(p)) for word, p in rule(prompt)[:k]] for prompt in prompts]

    def distributions(self, ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """The given probabilities as log-probabilities [n, V], at positions as those of a real model."""
        import torch

        rule = self._given("distribution", self.distribution)
        found = []
        for row, places in zip(ids, positions, strict=True):
            logp = torch.empty((len(places), self.vocabulary))
            for k, place in enumerate(places):
                shown = [*row[:place], self.tokenizer.mask_token_id, *row[place + 1 :]]
                given = rule(self.tokenizer.decode(row[: place + 1] if self.kind == "causal" else shown))
                logp[k] = math.log(max(1.0 - sum(given.values()), 1e-9) / self.vocabulary)
                for word, p in given.items():
                    logp[k, self.tokenizer.encode(word)[0]] = math.log(p)
            found.append(logp.log_softmax(-1))
        return found

    def generate(self, requests: Sequence[Request], *, temperature: float = 0.0, top_p: float = 1.0) -> list[Response]:
        """The given texts."""
        rule = self._given("answer", self.answer)
        return [Response(request=request, text=rule(request)) for request in requests]

    def _given(self, name: str, rule: Any) -> Any:
        if rule is None:
            raise UsageError(f"this planted model has no rule `{name}`", where="planted model")
        return rule

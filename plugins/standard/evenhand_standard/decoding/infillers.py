"""What a model expects in the place of each word, told that a text is fair and told that it is prejudiced.

Two kinds of model can look: a masked one reads what stands on both sides of a word; a causal one, such as the model
that writes the answers, reads what stands before it, and weighs a word to put there by how well the text goes on. A
*voice* is such a model behind a description, with a LoRA adapter, or trained as a whole. With l_B the log-probabilities
of the model itself, l_E and l_A the means over the voices that are followed and avoided:

    divergence(i) = JS(p_E, p_A) at word i, the mean over its pieces         lean(i) = l_A(word i) - l_E(word i)
    score(w)      = l_B(w) + a_E l_E(w) - a_A l_A(w) - log(penalty) [w is in the text]

among words of one piece with p_B(w) >= plausible max p_B. Source: Hallinan et al. 2023 (MaRCo).
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

from evenhand_sdk import evaluation_mode, jensen_shannon
from evenhand_standard.decoding.lora_experts import Adapter, switched_on

if TYPE_CHECKING:
    import torch

WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
Span = tuple[int, int]
Text = str
ROWS: Final = 16
"""Sequences that are read at once: logits over a vocabulary are large."""
LEAST: Final = -100.0
"""Log-probability below which voices do not tell words apart."""


@dataclass(frozen=True)
class Voice:
    """A model that reads a text behind a description (or none), with an adapter (or none)."""

    model: Any
    words: str = ""
    adapter: Adapter | None = None


@dataclass(frozen=True)
class Voices:
    """The model itself, and those that are followed and avoided."""

    base: Voice
    towards: Sequence[Voice]
    away: Sequence[Voice]


@dataclass(frozen=True)
class Weights:
    """Of the score above."""

    towards: float
    away: float
    penalty: float
    plausible: float
    shortlist: int
    """How many words of the best score a causal model tries on the rest of the text."""


@dataclass(frozen=True)
class Reading:
    """What was found at each word of a text."""

    words: Sequence[Span]
    base: Sequence[float]
    """log p of the word, in nat."""
    lean: Sequence[float]
    """By how much likelier the word is to the voices that are avoided, in nat."""
    divergence: Sequence[float]
    """Jensen-Shannon divergence of the two kinds of voice, in nat."""

    @property
    def bias(self) -> float:
        """The mean lean of a word."""
        return sum(self.lean) / len(self.lean) if self.lean else 0.0

    @property
    def log_perplexity(self) -> float:
        """-mean log p of a word."""
        return -sum(self.base) / len(self.base) if self.base else 0.0


class Infiller(Protocol):
    """Reads texts, and proposes a word."""

    def read(self, text: Text) -> Reading:
        """What is found at each word."""

    def proposed(self, text: Text, span: Span, hidden: Sequence[Span], weights: Weights) -> list[str]:
        """Words for a span, the best first; `hidden` are later spans that will be replaced, too, and are not read."""

    def states(self, text: Text) -> torch.Tensor:
        """[T, H] what the middle layer makes of each token."""

    def room(self, text: Text) -> bool:
        """Whether the model can read a text of this length."""


class Reader:
    """What both kinds share: voices, words of one piece, states."""

    def __init__(self, tokenizer: Any, voices: Voices) -> None:
        self.tokenizer, self.voices = tokenizer, voices

    @property
    def device(self) -> Any:
        return self.voices.base.model.device

    @cached_property
    def longest(self) -> int:
        own = getattr(self.voices.base.model.config, "max_position_embeddings", None) or 2**31
        return min(int(own), int(self.tokenizer.model_max_length))

    @cached_property
    def _most_told(self) -> int:
        every = (*self.voices.towards, *self.voices.away)
        return max(len(self.ids(f"{voice.words}\n")) for voice in every)

    def room(self, text: Text) -> bool:
        return len(self.ids(text)) + self._most_told + 8 <= self.longest

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def pieces(self, text: Text) -> tuple[list[int], list[Span], list[list[int]]]:
        """The ids of a text, its words, and the places of each word's pieces."""
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        words, places = [], []
        for match in WORD.finditer(text):
            mine = [k for k, (a, b) in enumerate(found["offset_mapping"]) if a < match.end() and match.start() < b]
            if mine:
                words.append(match.span())
                places.append(mine)
        return list(found["input_ids"]), words, places

    @cached_property
    def whole_words(self) -> torch.Tensor:
        """[V] 0 for tokens that are a word in lower case by themselves, behind a space; -inf for all others."""
        import torch

        size = self.voices.base.model.get_input_embeddings().num_embeddings
        names = self.tokenizer.convert_ids_to_tokens(list(range(min(size, len(self.tokenizer)))))
        continued = any(name and name.startswith("##") for name in names)
        fits = torch.full((size,), -math.inf)
        for k, name in enumerate(names):
            text = name or ""
            begins = not text.startswith("##") if continued else text[:1] in ("Ġ", "▁")
            word = text.lstrip("Ġ▁")
            if begins and word.islower() and WORD.fullmatch(word) and word.isascii() and len(word) > 1:
                fits[k] = 0.0
        return fits.to(self.device)

    def word(self, token: int) -> str:
        """A whole word as text."""
        return str(self.tokenizer.convert_ids_to_tokens(token)).lstrip("Ġ▁")

    def reading(self, words: Sequence[Span], at: Sequence[Sequence[torch.Tensor]], ids: Sequence[Any]) -> Reading:
        """From the log-probabilities [pieces, V] at each word: those of the base, of E and of A."""
        base, lean, divergence = [], [], []
        for (own, towards, away), tokens in zip(at, ids, strict=True):
            pick = tokens[:, None]
            base.append(float(own.gather(-1, pick).sum()))
            lean.append(float((away.gather(-1, pick) - towards.gather(-1, pick)).sum()))
            divergence.append(float(jensen_shannon(towards, away).mean()))
        return Reading(words, base, lean, divergence)

    def score(
        self, own: torch.Tensor, towards: torch.Tensor, away: torch.Tensor, used: Sequence[int], weights: Weights
    ) -> torch.Tensor:
        """score(w) above [V], -inf for what may not stand there."""
        import torch

        own = own + self.whole_words
        kept = own >= own.max() + math.log(weights.plausible)
        mixed = own + weights.towards * towards.clamp_min(LEAST) - weights.away * away.clamp_min(LEAST)
        mixed[list(set(used))] -= math.log(weights.penalty)
        return torch.where(kept, mixed, torch.full_like(mixed, -math.inf))


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The normalised geometric mean of distributions, as log-probabilities."""
    import torch

    return parts[0] if len(parts) == 1 else torch.stack(list(parts)).mean(0).log_softmax(-1)


@contextlib.contextmanager
def speaking(voice: Voice) -> Iterator[Any]:
    """A block in which a voice's model can be asked: with its adapter, without dropout, without gradients."""
    import torch

    adapted = switched_on(voice.model, voice.adapter) if voice.adapter else contextlib.nullcontext()
    with evaluation_mode(voice.model), torch.no_grad(), adapted:
        yield voice.model


class MaskedInfiller(Reader):
    """A masked model: each word is hidden in turn, and what stands on both sides of it is read."""

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        """The ids that stand before and behind every text."""
        both = list(self.tokenizer("")["input_ids"])
        return both[: (len(both) + 1) // 2], both[(len(both) + 1) // 2 :]

    def _expected(self, voice: Voice, rows: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> list[Any]:
        """Log-probabilities [n, V] at the places of rows of ids, behind what the voice is told."""
        import torch

        told = self.ids(voice.words) if voice.words else []
        opening, closing = self._frame
        whole = [[*opening, *told, *row, *closing] for row in rows]
        lead = len(opening) + len(told)
        found = []
        known = torch.amp.is_autocast_available(self.device.type)  # float32 also inside a measurement in bf16
        exact = torch.autocast(self.device.type, enabled=False) if known else contextlib.nullcontext()
        with speaking(voice) as model, exact:
            for start in range(0, len(whole), ROWS):
                part = whole[start : start + ROWS]
                width = max(map(len, part))
                pad = self.tokenizer.pad_token_id or 0
                ids = torch.tensor([row + [pad] * (width - len(row)) for row in part], device=self.device)
                mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in part], device=self.device)
                logits = model(input_ids=ids, attention_mask=mask).logits
                for k, at in enumerate(places[start : start + ROWS]):
                    found.append(logits[k, [lead + p for p in at]].float().log_softmax(-1))
        return found

    def _all(self, rows: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> list[tuple[Any, Any, Any]]:
        v = self.voices
        own = self._expected(v.base, rows, places)
        towards = [self._expected(voice, rows, places) for voice in v.towards]
        away = [self._expected(voice, rows, places) for voice in v.away]
        return [(own[k], joined([t[k] for t in towards]), joined([a[k] for a in away])) for k in range(len(rows))]

    def read(self, text: Text) -> Reading:
        import torch

        ids, words, places = self.pieces(text)
        mask = self.tokenizer.mask_token_id
        rows = [[mask if k in set(at) else token for k, token in enumerate(ids)] for at in places]
        tokens = [torch.tensor([ids[k] for k in at], device=self.device) for at in places]
        return self.reading(words, self._all(rows, places) if rows else [], tokens)

    def proposed(self, text: Text, span: Span, hidden: Sequence[Span], weights: Weights) -> list[str]:
        gap = self.tokenizer.mask_token
        shown, at = "", 0
        for a, b in sorted([span, *hidden]):
            shown += text[at:a] + gap
            at = b
        ids = self.ids(shown + text[at:])
        masks = [k for k, token in enumerate(ids) if token == self.tokenizer.mask_token_id]
        mine = masks[sum(other < span for other in hidden)]
        [(own, towards, away)] = self._all([ids], [[mine]])
        score = self.score(own[0], towards[0], away[0], ids, weights)
        best = score.topk(min(weights.shortlist, len(score)))
        return [self.word(t) for t, s in zip(best.indices.tolist(), best.values.tolist(), strict=True) if s > -math.inf]

    def states(self, text: Text) -> torch.Tensor:
        import torch

        opening, closing = self._frame
        ids = [*opening, *self.ids(text), *closing]
        with speaking(self.voices.base) as model:
            found = model(input_ids=torch.tensor([ids], device=self.device), output_hidden_states=True).hidden_states
        return found[len(found) // 2][0, len(opening) : len(ids) - len(closing)].float()  # type: ignore[no-any-return]

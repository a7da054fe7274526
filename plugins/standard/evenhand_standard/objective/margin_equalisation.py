"""Zero-margin equalisation of pairs: a text and its counterfactual become equally probable.

With the length-normalised log-likelihood l(x) = 1/|x| log p(x), for a text s, its counterfactual a and a text u that
makes no sense,

    L = mean over pairs of  huber( l(s) - l(a) - prior )
    H = mean over pairs of  relu( m - (l(s) + l(a)) / 2 + l(u) )

`prior` is 0, or what the untouched model prefers of the exchanged words without any context. m is the value of
(l0(s) + l0(a)) / 2 - l0(u) under the untouched model, so that H is 0 at the start and grows when both sides lose ground
against nonsense. The training adds strength * (weight * L + unrelated * H + retention * KL(p0 || p)).

Sources: techniques 2.4 and O9 of the notes; L has the optimum of IPO with target margin 0 (Azar et al. 2024) and of the
symmetric debiasing loss of BiasEdit; correction by a prior as in Kurita et al. 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Axes,
    Batch,
    Locale,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    Pairing,
    RunContext,
    StrengthOptions,
    UsageError,
    aligned_positions,
    hookimpl,
    load_axis,
)
from evenhand_standard.objective.pair_parity import LEAST, nothing
from evenhand_standard.objective.retention_term import retention_terms
from evenhand_standard.objective.text_pairs import TextPair, TextSets, token_count

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NotNegative = Annotated[float, Field(ge=0.0)]
Score = Literal["mean", "sum", "unmodified"]
Term = Callable[[Batch, Outputs], "torch.Tensor"]


class MarginEqualisationOptions(StrengthOptions):
    """Options of `margin-equalisation`; `strength` scales all terms."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="First names belong to groups, too.")
    weight: NotNegative = Field(1.0, description="Weight of the pair term beside the language-modelling loss.")
    score: Score = Field(
        "mean", description="Log-likelihood a token, of the whole text, or a token that both texts share."
    )
    prior: Literal["none", "words"] = Field(
        "none", description="words: the target gap is what the untouched model prefers of the words without context."
    )
    delta: Annotated[float, Field(gt=0.0)] = Field(
        1.0, description="Where the Huber loss turns from a square to a line, in nat."
    )
    unrelated: NotNegative = Field(0.1, description="Weight of the hinge that keeps both sides above nonsense.")
    retention: NotNegative = Field(0.1, description="Weight of KL(untouched || trained) on ungrouped words.")

    @model_validator(mode="after")
    def _prior_of_scored_words(self) -> MarginEqualisationOptions:
        if self.prior == "words" and self.score == "unmodified":
            raise ValueError('prior = "words" corrects the exchanged words, which score = "unmodified" leaves out')
        return self


class MarginEqualisation(Mitigation):
    """Trains the model to find a text and its counterfactual equally probable, neither more so than the other."""

    name = "margin-equalisation"
    summary = "Makes a text and its counterfactual equally probable, and keeps both above a text without sense."
    source = "IPO with target margin 0 (Azar et al. 2024); prior correction after Kurita et al. 2019"
    kinds = ("causal",)
    Options = MarginEqualisationOptions

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        axes = [load_axis(name, o.locale) for name in o.axes]
        start = start_token(run.tokenizer) if o.prior == "words" else None
        terms = []
        for axis in axes:
            sets = TextSets(axis, names=o.names, unrelated=o.unrelated > 0)
            label = f" ({axis.name})" if len(axes) > 1 else ""
            pairing = Pairing(key=sets.key, pair=lambda text, sets=sets: sets.of(text).texts, aligned=False)
            reading = Reading(sets, run.tokenizer, o.score)
            prior = Prior(run.tokenizer, start) if start is not None else None
            terms.append(
                LossTerm(
                    name=f"margin equalisation{label}",
                    fn=zero_margin(reading, prior, o.delta),
                    count=reading.count,
                    weight=o.strength * o.weight,
                    needs=Needs(columns=("text",), counterfactual=pairing, reference=prior is not None),
                )
            )
            if o.unrelated > 0:
                terms.append(
                    LossTerm(
                        name=f"above unrelated text{label}",
                        fn=above_unrelated(reading),
                        count=reading.count_unrelated,
                        weight=o.strength * o.unrelated,
                        needs=Needs(columns=("text",), counterfactual=pairing, reference=True),
                        anchor=True,
                    )
                )
        return terms + retention_terms(run, model, axes, names=o.names, weight=o.strength * o.retention)


# -------------------------------------------------------------------------------------------- what is compared
class Reading:
    """Which rows of a batch are the two sides of a pair, and their scores."""

    def __init__(self, sets: TextSets, tokenizer: Any, score: Score) -> None:
        self.sets, self.tokenizer, self.score = sets, tokenizer, score
        self._lengths: dict[str, int] = {}

    def pairs(self, batch: Batch) -> list[tuple[int, int, int | None, TextPair]]:
        """(text row b, its counterfactual p, its unrelated text or None, the pair), where none of them was cut off and
        each has a token that is scored: one behind its first."""
        found, p = [], 0
        for b, text in enumerate(batch.columns["text"]):
            made = self.sets.of(text)
            whole = self._scored(batch.attention_mask[b], text)
            others = batch.pairs[self.sets.key]
            last = p + len(made.pairs)
            kept = [self._scored(others.attention_mask[p + k], t) for k, t in enumerate(made.texts)]
            unrelated = last if made.unrelated and kept[-1] else None
            for k, pair in enumerate(made.pairs):
                if whole and kept[k]:
                    found.append((b, p + k, unrelated, pair))
            p += len(made.texts)
        return found

    def count(self, batch: Batch) -> float:
        """How many pairs a batch has."""
        return float(len(self.pairs(batch)))

    def count_unrelated(self, batch: Batch) -> float:
        """How many of them have an unrelated text."""
        return float(sum(u is not None for _, _, u, _ in self.pairs(batch)))

    def _scored(self, mask: torch.Tensor, text: str) -> bool:
        if text not in self._lengths:
            self._lengths[text] = token_count(self.tokenizer, text)
        return 1 < self._lengths[text] <= int(mask.sum())

    def gap(self, batch: Batch, outputs: Outputs, b: int, p: int) -> torch.Tensor:
        """l(s) - l(a) [] of text row b and counterfactual p, in the way of `score`."""
        others = batch.pairs[self.sets.key]
        here = token_likelihoods(outputs.logits[b], batch.input_ids[b], batch.attention_mask[b])
        there = token_likelihoods(outputs.pairs[self.sets.key].logits[p], others.input_ids[p], others.attention_mask[p])
        if self.score == "sum":
            return here.sum() - there.sum()
        if self.score == "mean":
            return here.mean() - there.mean()
        left = batch.input_ids[b, : len(here) + 1].tolist()
        right = others.input_ids[p, : len(there) + 1].tolist()
        both = [(i - 1, j - 1) for i, j in aligned_positions(left, right) if i > 0 and j > 0]
        if not both:
            return here.sum() * 0.0
        one, two = zip(*both, strict=True)
        return here[list(one)].mean() - there[list(two)].mean()

    def mean(self, logits: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The mean log-likelihood [] of a token."""
        return token_likelihoods(logits, ids, mask).mean()


def token_likelihoods(logits: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Log-likelihoods [n - 1] in nat of the tokens of a text behind its first, from logits [T, V] and ids, mask [T]."""
    n = int(mask.sum())
    scores = logits[: n - 1].float()
    return (scores.gather(-1, ids[1:n, None])[:, 0] - scores.logsumexp(-1)).clamp_min(LEAST)


# --------------------------------------------------------------------------------------------------- the terms
def zero_margin(reading: Reading, prior: Prior | None, delta: float) -> Term:
    """The mean of huber(gap - prior) [] over the pairs of a batch; 0 when it has none."""
    import torch

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        gaps: list[torch.Tensor] = []
        for b, p, _, pair in reading.pairs(batch):
            gap = reading.gap(batch, outputs, b, p)
            if prior is not None:
                assert outputs.reference is not None and outputs.reference.model is not None
                counts = (1, 1)
                if reading.score == "mean":
                    others = batch.pairs[reading.sets.key]
                    counts = int(batch.attention_mask[b].sum()) - 1, int(others.attention_mask[p].sum()) - 1
                gap = gap - prior.gap(outputs.reference.model, pair, counts)
            gaps.append(gap)
        if not gaps:
            return nothing(outputs)
        stacked = torch.stack(gaps)
        return torch.nn.functional.huber_loss(stacked, torch.zeros_like(stacked), delta=delta)

    return fn


def above_unrelated(reading: Reading) -> Term:
    """The mean of the hinge [] over pairs that have an unrelated text."""
    import torch

    def margin(batch: Batch, row: torch.Tensor, others: torch.Tensor, b: int, p: int, u: int) -> torch.Tensor:
        texts = batch.pairs[reading.sets.key]
        s = reading.mean(row[b], batch.input_ids[b], batch.attention_mask[b])
        a, n = (reading.mean(others[k], texts.input_ids[k], texts.attention_mask[k]) for k in (p, u))
        return (s + a) / 2 - n

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        found = [(b, p, u) for b, p, u, _ in reading.pairs(batch) if u is not None]
        if not found:
            return nothing(outputs)
        pairs = outputs.pairs[reading.sets.key]
        assert outputs.reference is not None and pairs.reference is not None
        before = outputs.reference.logits(), pairs.reference.logits()
        hinges = [
            (margin(batch, *before, *item) - margin(batch, outputs.logits, pairs.logits, *item)).clamp_min(0.0)
            for item in found
        ]
        return torch.stack(hinges).mean()

    return fn


class Prior:
    """What the untouched model prefers of exchanged words when nothing stands before them but the start of a text."""

    def __init__(self, tokenizer: Any, start: int) -> None:
        self.tokenizer, self.start = tokenizer, start
        self._known: dict[str, float] = {}

    def gap(self, model: PreTrainedModel, pair: TextPair, counts: tuple[int, int]) -> float:
        """sum of log p0(word) / counts[0] - sum of log p0(counterpart) / counts[1] over the exchanged words."""
        here, there = (sum(self.of(model, words[side]) for words in pair.exchanged) for side in (0, 1))
        return here / counts[0] - there / counts[1]

    def of(self, model: PreTrainedModel, word: str) -> float:
        """log p0(word) in nat, behind a space at the start of a text."""
        import torch

        if word not in self._known:
            ids = torch.tensor([self.start, *self.tokenizer(f" {word}", add_special_tokens=False)["input_ids"]])
            with torch.no_grad():
                logits = model(input_ids=ids[None].to(model.device)).logits[0].cpu()
            self._known[word] = float(token_likelihoods(logits, ids, torch.ones_like(ids)).sum())
        return self._known[word]


def start_token(tokenizer: Any) -> int:
    """The token that begins a text, or that separates texts; UsageError where the tokenizer has neither."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise UsageError(
        "the tokenizer has no token that begins a text, so a word has no probability without a context",
        where="option prior",
        do='prior = "none"',
    )

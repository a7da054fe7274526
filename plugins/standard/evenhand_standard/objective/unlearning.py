"""Unlearning of stereotypes: negative preference optimisation on one side of a pair, retention of the other.

The data get the beginnings x of sentences of the pair bank's training split, each with a stereotypical continuation s
and an anti-stereotypical one a; language modelling sees neither. The training adds

    strength * forget    * mean  -(2/b) log sigma( -b [ log p(s|x) - log p0(s|x) ] )           NPO
    strength * retain    * mean  -log p(a|x) per token
    strength * unrelated * mean  KL( p0(. | x_<t) || p(. | x_<t) ) on rows that are no such pair

and swaps the sides as it goes: with the score

    S = share of pairs with log p(s|x) > log p(a|x), a moving average over the pairs that were read

s is forgotten while S > 1/2 + tolerance, a while S < 1/2 - tolerance, and nothing in between, so that the training ends
at parity and not at the reverse stereotype.

Source: Zhang et al. 2024 (NPO); BiasUnlearn, EMNLP 2025 (retention of the anti-stereotype, dynamic swap), whose
official run trains on items of a benchmark. This does not: the pair bank is disjoint from every benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import Batch, DataTransform, LossTerm, Mitigation, Needs, Outputs, RunContext, hookimpl
from evenhand_sdk.processes import everyone
from evenhand_standard.objective.continuation_likelihoods import UntouchedLikelihoods, differing_others, two_others
from evenhand_standard.objective.listed_pairs import ListedPairOptions, ListedPairs, Unrelated
from evenhand_standard.objective.pair_parity import nothing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from evenhand_standard.objective.continuation_likelihoods import Likelihoods

NotNegative = Annotated[float, Field(ge=0.0)]
KEY = "unlearning"
STEREOTYPE, OTHER = "evenhand_stereotype", "evenhand_anti_stereotype"
PAIRS = ListedPairs(key=KEY, stereotype=STEREOTYPE, other=OTHER, note="unlearns{stereotype}, keeps{other}")
FIRST_PAIRS = 32
"""Pairs of the first phase, in which stereotypes are forgotten whatever the score."""
MEMORY = 0.98
"""How much of the score stays at each further pair."""


class UnlearningOptions(ListedPairOptions):
    """Options of `unlearning`; `strength` scales all terms."""

    beta: Annotated[float, Field(gt=0.0)] = Field(0.1, description="Of NPO; near 0 it is gradient ascent.")
    forget: NotNegative = Field(0.5, description="Weight of negative preference optimisation.")
    retain: NotNegative = Field(0.3, description="Weight of the negative log-likelihood of the other side.")
    unrelated: NotNegative = Field(0.2, description="Weight of KL(untouched || trained) on rows that are no pair.")
    tolerance: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.02, description="How far the score may be from one half before a side is forgotten."
    )


class Unlearning(Mitigation):
    """Unlearns stereotypical continuations of the pair bank, and swaps the sides when it has gone far enough."""

    name = "unlearning"
    summary = "Unlearns stereotypical continuations by NPO, keeps the others, and stops at parity by swapping sides."
    source = "Zhang et al. 2024 (NPO); BiasUnlearn, EMNLP 2025 (retention and dynamic swap)"
    kinds = ("causal",)
    Options = UnlearningOptions
    example_columns: Mapping[str, Sequence[Any]] = {STEREOTYPE: [" He left."], OTHER: [" She left."]}

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        return PAIRS.data(run, self.options, self.name) if split == "train" else None

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        state = Swap(tolerance=o.tolerance)
        needs = Needs(columns=tuple(PAIRS.columns), counterfactual=PAIRS.pairing, reference=True)
        terms = [
            LossTerm(
                name="unlearning",
                fn=unlearning(o, state),
                count=differing_others(KEY),
                weight=o.strength,
                needs=needs,
                state_dict=state.state_dict,
                load_state_dict=state.load_state_dict,
            )
        ]
        if o.unrelated > 0:
            kl = Unrelated(STEREOTYPE)
            how: dict[str, Any] = {"weight": o.strength * o.unrelated, "needs": needs, "anchor": True}
            terms.append(LossTerm(name="unrelated", fn=kl, count=kl.count, **how))
        return terms


@dataclass
class Swap:
    """Which side is forgotten."""

    tolerance: float
    score: float = 0.0
    """S, the mean over the pairs of the first phase, then a moving average."""
    seen: int = 0
    """Pairs so far."""

    @property
    def direction(self) -> int:
        """1: the stereotype is forgotten; -1: the anti-stereotype; 0: neither."""
        if self.seen < FIRST_PAIRS or self.score > 0.5 + self.tolerance:
            return 1
        return -1 if self.score < 0.5 - self.tolerance else 0

    def note(self, preferred: Sequence[bool]) -> None:
        """Take in pairs: whether each one's stereotypical side was likelier."""
        for likelier in preferred:
            self.seen += 1
            share = 1 / self.seen if self.seen <= FIRST_PAIRS else 1 - MEMORY
            self.score += share * (float(likelier) - self.score)

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "seen": self.seen}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.score, self.seen = float(saved["score"]), int(saved["seen"])


def unlearning(o: UnlearningOptions, state: Swap) -> Callable[[Batch, Outputs], torch.Tensor]:
    """forget * NPO + retain * negative log-likelihood [] over the pairs of a batch; 0 when it has none."""
    untouched = UntouchedLikelihoods()

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        texts = two_others(batch, outputs, KEY)
        now = texts.likelihoods() if texts is not None else None
        if outputs.logits.requires_grad:  # a look from outside is no step
            # Of all processes, so that each forgets the same side.
            state.note(everyone((now.own > now.other).tolist() if now is not None else []))
        if texts is None or now is None or state.direction == 0:
            return nothing(outputs)
        before = untouched.of(batch, outputs, texts, now)
        if state.direction < 0:
            now, before = swapped(now), swapped(before)
        return o.forget * npo(now.own - before.own, o.beta) - o.retain * now.normalised().other.mean()

    return fn


def npo(ratio: torch.Tensor, beta: float) -> torch.Tensor:
    """Negative preference optimisation [] of log p - log p0 of what is to be forgotten [P]."""
    import torch

    return -(2 / beta) * torch.nn.functional.logsigmoid(-beta * ratio).mean()


def swapped(found: Likelihoods) -> Likelihoods:
    """The same with the sides exchanged."""
    return type(found)(own=found.other, other=found.own, own_tokens=found.other_tokens, other_tokens=found.own_tokens)

"""Unlikelihood of stereotypical continuations: what is listed for a context becomes less probable there.

The data get the beginnings x of sentences of the pair bank's training split, each with a stereotypical continuation s
and the other one a; language modelling sees neither. With D(s) the tokens of s that a has not in their place,
the training adds

    strength * weight    * mean over pairs of  1/|D(s)| sum_{t in D(s)}  -log( 1 - p(s_t | x, s_<t) )
    strength * unrelated * mean  KL( p0( . | x_<t) || p( . | x_<t) ) on rows that are no such pair

A pair counts while the tokens D(s) are likelier in s than the tokens D(a) are in a, so that a training ends at parity
and not at the reverse stereotype; without `until_parity` each pair counts always. 1 - p is taken from the logits of all
other tokens, and is exact where p is nearly one.

Source: Welleck et al. 2020 (unlikelihood training, token level); the pairs, the restriction to tokens that differ and
the end at parity are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Batch,
    DataTransform,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    RunContext,
    aligned_positions,
    hookimpl,
)
from evenhand_standard.objective.continuation_likelihoods import differing_others, two_others
from evenhand_standard.objective.listed_pairs import ListedPairOptions, ListedPairs, Unrelated
from evenhand_standard.objective.pair_parity import nothing

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from evenhand_standard.objective.continuation_likelihoods import TextPairs

NotNegative = Annotated[float, Field(ge=0.0)]
KEY = "unlikelihood"
LISTED, OTHER = "evenhand_unlikely", "evenhand_instead"
PAIRS = ListedPairs(key=KEY, stereotype=LISTED, other=OTHER, note="penalises{stereotype}, not{other}")


class UnlikelihoodOptions(ListedPairOptions):
    """Options of `unlikelihood`; `strength` scales all terms."""

    weight: NotNegative = Field(0.5, description="Weight of the penalty; the literature has 0.1 to 1.")
    until_parity: bool = Field(True, description="A pair counts only while its stereotypical side is the likelier one.")
    unrelated: NotNegative = Field(0.2, description="Weight of KL(untouched || trained) on rows that are no pair.")


class Unlikelihood(Mitigation):
    """Makes stereotypical continuations of the pair bank less probable, token by token, until parity."""

    name = "unlikelihood"
    summary = "Penalises the tokens that make a continuation stereotypical, while it is the likelier one."
    source = "Welleck et al. 2020, Neural text generation with unlikelihood training"
    kinds = ("causal",)
    Options = UnlikelihoodOptions
    example_columns: Mapping[str, Sequence[Any]] = {LISTED: [" He left."], OTHER: [" She left."]}

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        return PAIRS.data(run, self.options, self.name) if split == "train" else None

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        fn = unlikelihood(until_parity=o.until_parity)
        needs = Needs(columns=tuple(PAIRS.columns), counterfactual=PAIRS.pairing)
        count = differing_others(KEY)
        terms = [LossTerm(name="unlikelihood", fn=fn, count=count, weight=o.strength * o.weight, needs=needs)]
        if o.unrelated > 0:
            weight, needs = o.strength * o.unrelated, Needs(columns=tuple(PAIRS.columns), reference=True)
            kl = Unrelated(LISTED)
            terms.append(LossTerm(name="unrelated", fn=kl, count=kl.count, weight=weight, needs=needs, anchor=True))
        return terms


def unlikelihood(*, until_parity: bool) -> Callable[[Batch, Outputs], torch.Tensor]:
    """The mean penalty [] in nat over the pairs of a batch, those that do not count with 0; 0 without pairs."""
    import torch

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        texts = two_others(batch, outputs, KEY)
        if texts is None:
            return nothing(outputs)
        found = []
        for pair in range(len(texts.rows)):
            own, other = distinct_places(texts, pair)
            margin = log_probability(texts.own[pair], texts.own_logits[pair], own) - log_probability(
                texts.other[pair], texts.other_logits[pair], other
            )
            if float(margin.detach()) > 0 or not until_parity:
                found.append(penalty(texts, pair, own))
        return torch.stack(found).sum() / len(texts.rows) if found else nothing(outputs)

    return fn


def distinct_places(texts: TextPairs, pair: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The places of tokens of both texts of a pair that the other one has not; of a text without any, its last."""
    import torch

    own = texts.own[pair][texts.own_mask[pair].bool()].tolist()
    other = texts.other[pair][texts.other_mask[pair].bool()].tolist()
    shared = aligned_positions(own, other)
    found = []
    for ids, side in ((own, 0), (other, 1)):
        same = {both[side] for both in shared}
        places = [t for t in range(1, len(ids)) if t not in same] or [len(ids) - 1]
        found.append(torch.tensor(places, device=texts.own.device))
    return found[0], found[1]


def log_probability(ids: torch.Tensor, logits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The sum of log p [] of the tokens at some places: ids [T], logits [T, V]."""
    chosen = logits[places - 1].float()
    return (chosen.gather(-1, ids[places][:, None])[:, 0] - chosen.logsumexp(-1)).sum()


def penalty(texts: TextPairs, pair: int, places: torch.Tensor) -> torch.Tensor:
    """The mean of -log(1 - p) [] over the listed tokens of one pair at some places."""
    import torch

    logits = texts.own_logits[pair, places - 1].float()
    others = logits.scatter(-1, texts.own[pair][places][:, None], -torch.inf)
    return (logits.logsumexp(-1) - others.logsumexp(-1)).mean()

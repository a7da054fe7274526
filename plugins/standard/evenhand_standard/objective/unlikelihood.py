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

from pydantic import Field, model_validator

from evenhand_sdk import (
    AxisName,
    Batch,
    DataTransform,
    EvenhandError,
    Locale,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    Pairing,
    RowAccount,
    RunContext,
    aligned_positions,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import Made, RowOptions, RowWork
from evenhand_standard.data.preference_sets import Comparison, banked
from evenhand_standard.data.whole_corpus import demand_whole, with_own
from evenhand_standard.objective.continuation_likelihoods import two_others
from evenhand_standard.objective.pair_parity import forward_kl, mean_in_chunks, nothing

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand_standard.objective.continuation_likelihoods import TextPairs

NotNegative = Annotated[float, Field(ge=0.0)]
KEY = "unlikelihood"
LISTED, OTHER = "evenhand_unlikely", "evenhand_instead"
COLUMNS: dict[str, tuple[str, Any]] = {LISTED: ("string", ""), OTHER: ("string", "")}


class UnlikelihoodOptions(RowOptions):
    """Options of `unlikelihood`; `strength` scales all terms."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    limit: Annotated[int, Field(ge=1)] = Field(800, description="Most pairs.")
    weight: NotNegative = Field(0.5, description="Weight of the penalty; the literature has 0.1 to 1.")
    until_parity: bool = Field(True, description="A pair counts only while its stereotypical side is the likelier one.")
    unrelated: NotNegative = Field(0.2, description="Weight of KL(untouched || trained) on rows that are no pair.")

    @model_validator(mode="after")
    def _has_labels(self) -> UnlikelihoodOptions:
        from evenhand_standard.pair_bank import knows

        try:
            axis = load_axis(self.axis, self.locale)
        except EvenhandError as error:
            raise ValueError(str(error).replace("\n", "\n    ")) from error
        if not knows(axis):
            raise ValueError(
                f"the pair bank says of no pair of the axis {self.axis!r} which side is stereotypical; it does of "
                "English packs with the groups female and male"
            )
        return self


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
        o = self.options
        if split != "train":
            return None
        work = RowWork(run, o)
        facts: dict[str, Any] = {}
        told: list[RowAccount] = []

        def fn(rows: Dataset) -> Dataset:
            told.clear()
            if o.strength == 0:
                return work.untouched(rows)
            demand_whole(rows, self.name)
            found = [c for c in banked(load_axis(o.axis, o.locale), run.seed_for("order")) if c.stereotype][: o.limit]
            facts["pairs"] = len(found)
            out, account = with_own(work, rows, [as_row(item) for item in found], COLUMNS)
            told.append(account)
            return out

        return DataTransform(fn=fn, facts=facts, account=lambda: told[0] if told else work.account())

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        pairing = Pairing(key=KEY, pair=lambda text: [], of_row=both_texts, aligned=False)
        fn = unlikelihood(until_parity=o.until_parity)
        needs = Needs(columns=tuple(COLUMNS), counterfactual=pairing)
        terms = [LossTerm(name="unlikelihood", fn=fn, weight=o.strength * o.weight, needs=needs)]
        if o.unrelated > 0:
            weight, needs = o.strength * o.unrelated, Needs(columns=tuple(COLUMNS), reference=True)
            terms.append(LossTerm(name="unrelated", fn=unrelated, weight=weight, needs=needs, anchor=True))
        return terms


def as_row(item: Comparison) -> Made:
    """The beginning of both sentences as a row, with the stereotypical continuation and the other one."""
    first = item.stereotype == item.groups[0]
    s, a = (item.first, item.second) if first else (item.second, item.first)
    note = f"penalises{s}, not{a}"
    return Made(text=item.prompt, axis=item.axis, group=item.stereotype, note=note, columns={LISTED: s, OTHER: a})


def both_texts(row: Mapping[str, Any]) -> Sequence[str]:
    """The stereotypical text and the other one; none for a row that is no pair."""
    s, a = row[LISTED], row[OTHER]
    return [row["text"] + s, row["text"] + a] if s and a and s != a else []


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


def unrelated(batch: Batch, outputs: Outputs) -> torch.Tensor:
    """The mean of KL(p0 || p) [] in nat over the predicted tokens of rows that are no pair."""
    import torch

    assert outputs.reference is not None
    plain = torch.tensor([not s for s in batch.columns[LISTED]], device=batch.labels.device)
    kept = torch.nn.functional.pad((batch.labels != -100)[:, 1:], (0, 1)) & plain[:, None]
    if not bool(kept.any()):
        return nothing(outputs)
    return mean_in_chunks(forward_kl, outputs.reference.logits()[kept], outputs.logits[kept])

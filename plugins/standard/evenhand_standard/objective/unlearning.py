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
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import Made, RowOptions, RowWork
from evenhand_sdk.processes import everyone
from evenhand_standard.data.preference_sets import Comparison, banked
from evenhand_standard.data.whole_corpus import demand_whole, with_own
from evenhand_standard.objective.continuation_likelihoods import UntouchedLikelihoods, two_others
from evenhand_standard.objective.pair_parity import forward_kl, mean_in_chunks, nothing

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand_standard.objective.continuation_likelihoods import Likelihoods

NotNegative = Annotated[float, Field(ge=0.0)]
KEY = "unlearning"
STEREOTYPE, OTHER = "evenhand_stereotype", "evenhand_anti_stereotype"
COLUMNS: dict[str, tuple[str, Any]] = {STEREOTYPE: ("string", ""), OTHER: ("string", "")}
FIRST_PAIRS = 32
"""Pairs of the first phase, in which stereotypes are forgotten whatever the score."""
MEMORY = 0.98
"""How much of the score stays at each further pair."""


class UnlearningOptions(RowOptions):
    """Options of `unlearning`; `strength` scales all terms."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    limit: Annotated[int, Field(ge=1)] = Field(800, description="Most pairs.")
    beta: Annotated[float, Field(gt=0.0)] = Field(0.1, description="Of NPO; near 0 it is gradient ascent.")
    forget: NotNegative = Field(0.5, description="Weight of negative preference optimisation.")
    retain: NotNegative = Field(0.3, description="Weight of the negative log-likelihood of the other side.")
    unrelated: NotNegative = Field(0.2, description="Weight of KL(untouched || trained) on rows that are no pair.")
    tolerance: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.02, description="How far the score may be from one half before a side is forgotten."
    )

    @model_validator(mode="after")
    def _has_labels(self) -> UnlearningOptions:
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
        state = Swap(tolerance=o.tolerance)
        pairing = Pairing(key=KEY, pair=lambda text: [], of_row=both_texts, aligned=False)
        needs = Needs(columns=tuple(COLUMNS), counterfactual=pairing, reference=True)
        terms = [
            LossTerm(
                name="unlearning",
                fn=unlearning(o, state),
                weight=o.strength,
                needs=needs,
                state_dict=state.state_dict,
                load_state_dict=state.load_state_dict,
            )
        ]
        if o.unrelated > 0:
            weight = o.strength * o.unrelated
            terms.append(LossTerm(name="unrelated", fn=unrelated, weight=weight, needs=needs, anchor=True))
        return terms


def as_row(item: Comparison) -> Made:
    """The beginning of both sentences as a row, with the stereotypical continuation and the other one."""
    first = item.stereotype == item.groups[0]
    s, a = (item.first, item.second) if first else (item.second, item.first)
    note = f"unlearns{s}, keeps{a}"
    return Made(text=item.prompt, axis=item.axis, group=item.stereotype, note=note, columns={STEREOTYPE: s, OTHER: a})


def both_texts(row: Mapping[str, Any]) -> Sequence[str]:
    """The stereotypical text and the other one; none for a row that is no pair."""
    s, a = row[STEREOTYPE], row[OTHER]
    return [row["text"] + s, row["text"] + a] if s and a and s != a else []


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


def unrelated(batch: Batch, outputs: Outputs) -> torch.Tensor:
    """The mean of KL(p0 || p) [] in nat over the predicted tokens of rows that are no pair."""
    import torch

    assert outputs.reference is not None
    plain = torch.tensor([not s for s in batch.columns[STEREOTYPE]], device=batch.labels.device)
    kept = torch.nn.functional.pad((batch.labels != -100)[:, 1:], (0, 1)) & plain[:, None]
    if not bool(kept.any()):
        return nothing(outputs)
    return mean_in_chunks(forward_kl, outputs.reference.logits()[kept], outputs.logits[kept])

"""Preference optimisation on mirrored pairs: DPO, IPO and SimPO whose optimum is parity, not the reverse stereotype.

The rows of the data step `preference-pairs` (prompt, chosen, rejected, weight, margin) are compared with their rejected
continuation in the same forward pass. The training adds

    strength * weight    * mean over pairs of  loss(h)                          `preference_losses.py`
    strength * sft       * mean over pairs of  -log p(chosen | prompt) per token
    strength * retention * mean over other words t of  KL( p0(. | x_<t) || p(. | x_<t) )

The second term keeps both likelihoods from falling together, which the first alone allows. With length normalisation
all log-likelihoods are per token, and weights and margins are made anew from the untouched model's likelihoods per
token.

Sources: Rafailov et al. 2023 (DPO), Azar et al. 2024 (IPO), Mitchell 2023 (cDPO), Meng et al. 2024 (SimPO); for social
bias, Allam 2024 (BiasDPO). Mirrored pairs and their calibration are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import (
    Batch,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    Pairing,
    RunContext,
    StrengthOptions,
    UsageError,
    hookimpl,
)
from evenhand_standard.objective.continuation_likelihoods import (
    TextPairs,
    UntouchedLikelihoods,
    differing_rows,
    row_and_other,
)
from evenhand_standard.objective.pair_parity import RetainedWords, nothing
from evenhand_standard.objective.preference_losses import Loss, dpo, ipo, simpo

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NotNegative = Annotated[float, Field(ge=0.0)]
KEY = "preference"
CHOSEN, REJECTED, WEIGHT, MARGIN, FORMAT = (
    "evenhand_chosen", "evenhand_rejected", "evenhand_weight", "evenhand_margin", "evenhand_format",
)  # fmt: skip
COLUMNS = (CHOSEN, REJECTED, WEIGHT, MARGIN, FORMAT)
MADE_FOR: dict[Loss, tuple[str, ...]] = {"dpo": ("dpo",), "ipo": ("ipo", "zero-margin"), "simpo": ("zero-margin",)}
"""Formats of `preference-pairs` whose optimum is parity under each loss."""
TOLERANCE = 1e-3
"""How far a weight may be from the one that its margin and beta give."""


class PreferenceOptimisationOptions(StrengthOptions):
    """Options of `preference-optimisation`; `strength` scales all terms."""

    loss: Loss = Field("dpo", description="dpo, ipo, or simpo (no reference model).")
    beta: Annotated[float, Field(gt=0.0)] = Field(0.1, description="Of DPO and SimPO; of DPO that of the pairs.")
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.0, description="cDPO: how often a preference may be the wrong way round; of pairs without calibration."
    )
    margin: NotNegative = Field(0.0, description="gamma of SimPO, in units of beta times nat per token.")
    length_normalised: bool = Field(False, description="Log-likelihoods per token; SimPO always.")
    weight: NotNegative = Field(1.0, description="Weight of the preference term beside the language-modelling loss.")
    sft: NotNegative = Field(0.1, description="Weight of the negative log-likelihood of the chosen continuation.")
    retention: NotNegative = Field(0.1, description="Weight of KL(untouched || trained) on all words.")


class PreferenceOptimisation(Mitigation):
    """Teaches a model preferences between continuations that differ in a group, towards parity."""

    name = "preference-optimisation"
    summary = "Optimises preferences over mirrored pairs (DPO, IPO, SimPO), towards parity between groups."
    source = "Rafailov et al. 2023 (DPO), Azar et al. 2024 (IPO), Allam 2024 (BiasDPO); mirrored pairs are our own"
    kinds = ("causal",)
    Options = PreferenceOptimisationOptions
    example_columns: Mapping[str, Sequence[Any]] = {
        "evenhand_prompt": ["The day"], CHOSEN: ["."], REJECTED: [" and she smiled."], WEIGHT: [0.5], MARGIN: [0.0],
        FORMAT: ["dpo"],
    }  # fmt: skip

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        import torch

        o = self.options
        if o.strength == 0:
            return []
        needs = Needs(
            columns=COLUMNS,
            counterfactual=Pairing(key=KEY, pair=lambda text: [], of_row=rejected_text, aligned=False),
            reference=o.loss != "simpo",
        )
        shared: dict[str, Any] = {"count": differing_rows(KEY), "needs": needs}
        terms = [LossTerm(name="preference", fn=preference(o), weight=o.strength * o.weight, **shared)]
        if o.sft > 0:
            terms.append(LossTerm(name="chosen", fn=chosen, weight=o.strength * o.sft, **shared))
        if o.retention > 0:
            every = torch.arange(model.get_input_embeddings().num_embeddings)
            kl = RetainedWords(every, causal=True)
            how: dict[str, Any] = {"weight": o.strength * o.retention, "needs": Needs(reference=True), "anchor": True}
            terms.append(LossTerm(name="retention", fn=kl, key=kl.key, count=kl.count, **how))
        return terms


def rejected_text(row: Mapping[str, Any]) -> list[str]:
    """The row's text with the rejected continuation; none where it is no pair, or was changed since."""
    mine, other = row[CHOSEN], row[REJECTED]
    if not mine or not row["text"].endswith(mine):
        return []
    if mine == other:
        raise UsageError(f"a pair prefers {mine!r} to itself", where="training data")
    return [row["text"].removesuffix(mine) + other]


def preference(o: PreferenceOptimisationOptions) -> Callable[[Batch, Outputs], torch.Tensor]:
    """The mean loss [] over the pairs of a batch; 0 when it has none."""
    untouched = UntouchedLikelihoods()
    by_token = o.length_normalised or o.loss == "simpo"

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        texts = row_and_other(batch, outputs, KEY)
        if texts is None:
            return nothing(outputs)
        demand_made_for(batch, texts, o)
        found = texts.likelihoods()
        now = found.normalised() if by_token else found
        d = now.own - now.other
        if o.loss == "simpo":
            return simpo(d, beta=o.beta, margin=o.margin).mean()
        before = untouched.of(batch, outputs, texts, found)
        before = before.normalised() if by_token else before
        d0 = before.own - before.other
        weight, margin = (column(batch, texts, name, d) for name in (WEIGHT, MARGIN))
        if by_token:  # calibrated to likelihoods of whole continuations, which are other numbers
            calibrated = margin != 0
            weight = torch.where(calibrated, torch.sigmoid(-o.beta * d0), weight)
            margin = torch.where(calibrated, -d0, margin)
        if o.loss == "ipo":
            zero = torch.tensor([batch.columns[FORMAT][r] == "zero-margin" for r in texts.rows], device=d.device)
            return ipo(d - d0, torch.where(zero, -d0, margin)).mean()
        return dpo(d - d0, weight, beta=o.beta, smoothing=o.label_smoothing).mean()

    return fn


def chosen(batch: Batch, outputs: Outputs) -> torch.Tensor:
    """The mean negative log-likelihood [] in nat per token of the chosen continuations; 0 when there are none."""
    texts = row_and_other(batch, outputs, KEY)
    return nothing(outputs) if texts is None else -texts.likelihoods().normalised().own.mean()


def column(batch: Batch, texts: TextPairs, name: str, like: torch.Tensor) -> torch.Tensor:
    """A column's values [P] at the rows of the pairs."""
    import torch

    return torch.tensor([batch.columns[name][r] for r in texts.rows], dtype=like.dtype, device=like.device)


def demand_made_for(batch: Batch, texts: TextPairs, o: PreferenceOptimisationOptions) -> None:
    """Raises UsageError for pairs whose weights put the optimum of this loss elsewhere than at parity."""
    import math

    for row in texts.rows:
        form, weight, margin = (batch.columns[name][row] for name in (FORMAT, WEIGHT, MARGIN))
        if form not in MADE_FOR[o.loss]:
            raise UsageError(
                f"the pairs were made for {form!r}, and the loss is {o.loss!r}",
                where="preference-optimisation",
                known=f"its optimum is parity on pairs of the format {' or '.join(map(repr, MADE_FOR[o.loss]))}",
                do="set `format` of preference-pairs, or `loss` of this step",
            )
        expected = 1 / (1 + math.exp(-o.beta * margin)) if margin else 0.5
        if o.loss == "dpo" and abs(weight - expected) > TOLERANCE:
            raise UsageError(
                f"the pairs are weighted for another beta than {o.beta:g}",
                where="preference-optimisation",
                known=f"a pair has the weight {weight:.4f}, where its margin and this beta give {expected:.4f}",
                do="give preference-pairs and preference-optimisation the same beta",
            )
        if o.loss == "dpo" and o.label_smoothing and margin:
            smoothed = weight * (1 - o.label_smoothing) + (1 - weight) * o.label_smoothing
            raise UsageError(
                f"label_smoothing = {o.label_smoothing:g} takes the optimum of calibrated pairs away from parity",
                where="preference-optimisation",
                known=f"it makes the weight {weight:.4f} of a pair {smoothed:.4f}; the mirror of a pair, with the rest "
                "of the weight, is its smoothing already",
                do="leave label_smoothing at 0",
            )

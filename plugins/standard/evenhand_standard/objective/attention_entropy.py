"""Entropy-based attention regularisation: attention spreads, so that no single word decides.

With A the attention of a token's row in a layer, averaged over heads and normalised,

    L = - sum over layers of  mean over tokens of  H(A),      H(A) = - sum_j A_j log A_j   in nat

In a causal model the first token is left out of each row, because attention rests there when it has nothing to do, and
only tokens that see at least `visible` others take part: a short row has little entropy whatever the model does. In a
masked model all tokens of the text take part, special ones left out. The training adds
strength * (weight * L + retention * KL(p0 || p)).

Source: Attanasio et al. 2022 (EAR, for classifiers; weight 0.01).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from evenhand_sdk import Batch, LossTerm, Mitigation, Needs, Outputs, RunContext, StrengthOptions, UsageError, hookimpl
from evenhand_standard.objective.pair_parity import nothing
from evenhand_standard.objective.retention_term import retention_terms

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NotNegative = Annotated[float, Field(ge=0.0)]
Term = Callable[[Batch, Outputs], "torch.Tensor"]
SMALLEST = 1e-12
"""Stands for an attention of zero inside a logarithm; what it is multiplied with is zero then."""


class AttentionEntropyOptions(StrengthOptions):
    """Options of `attention-entropy`; `strength` scales both terms."""

    weight: NotNegative = Field(0.01, description="Weight of the negative entropy beside the language-modelling loss.")
    visible: Annotated[int, Field(ge=2)] = Field(
        8, description="Tokens, the first left out, that a token of a causal model must see to take part."
    )
    retention: NotNegative = Field(0.1, description="Weight of KL(untouched || trained).")


class AttentionEntropy(Mitigation):
    """Rewards attention that is spread over many words; needs no list of words."""

    name = "attention-entropy"
    summary = "Keeps attention from resting on few words, so that no group word decides alone; needs no word list."
    source = "Attanasio et al. 2022, Entropy-based attention regularization frees unintended bias mitigation from lists"
    Options = AttentionEntropyOptions

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        causal = run.kind == "causal"
        special = sorted(set(run.tokenizer.all_special_ids))
        fn = NegativeEntropy(special, o.visible if causal else None)
        term = LossTerm(
            name="attention entropy",
            fn=fn,
            count=fn.count,
            weight=o.strength * o.weight,
            needs=Needs(attentions=True),
        )
        return [term, *retention_terms(run, model, (), names=False, weight=o.strength * o.retention)]


class NegativeEntropy:
    """Minus the entropy [] in nat, summed over layers; `visible` is None for masked models."""

    def __init__(self, special: Sequence[int], visible: int | None) -> None:
        self.special, self.visible = special, visible

    def taking_part(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T] the tokens that are looked at, and those whose rows count."""
        import torch

        mask = batch.attention_mask.bool()
        seen = mask.clone()
        if self.visible is None:
            seen &= ~torch.isin(batch.input_ids, torch.tensor(self.special, device=mask.device, dtype=torch.long))
            return seen, seen
        seen[:, 0] = False  # where attention rests
        return seen, mask & (seen.cumsum(-1) >= self.visible)

    def count(self, batch: Batch) -> float:
        return float(self.taking_part(batch)[1].sum())

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        if not outputs.attentions or any(a is None for a in outputs.attentions):
            raise UsageError(
                "the model gives no attention, so that its entropy is not known",
                where="attention-entropy",
                do="use a model whose layers attend and return their attention (eager attention)",
            )
        seen, rows = self.taking_part(batch)
        if not rows.any():
            return nothing(outputs)
        return -torch.stack([entropy(layer, seen, rows) for layer in outputs.attentions]).sum()


def entropy(attention: torch.Tensor, seen: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The mean entropy [] in nat over `rows` [B, T] of attention [B, heads, T, T], averaged over heads and normalised
    over the tokens `seen` [B, T]."""
    share = attention.float().mean(1) * seen[:, None, :]
    share = share / share.sum(-1, keepdim=True).clamp_min(SMALLEST)
    return -(share * share.clamp_min(SMALLEST).log()).sum(-1)[rows].mean()

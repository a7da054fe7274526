"""Counterfactual logit pairing on folded distributions, with retention.

For a text x and its counterfactual x~ the training adds

    strength * weight    * mean over aligned positions t of  d( F p(. | x_<t), F p(. | x~_<t) )
    strength * retention * mean over other words t of        KL( p0(. | x_<t) || p(. | x_<t) )

F folds the probabilities of aligned group words (she, he) into one, so "she ... her" and "he ... his" count
as agreement, not as bias. p0 is the untouched model. Positions whose own word is a group word take part in
neither term.

Source: Garg et al. 2019 (counterfactual logit pairing, d = L1 of logits); pair folding and the retention term
are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Batch,
    LossTerm,
    Mitigation,
    Needs,
    Outputs,
    Pairing,
    RunContext,
    Section,
    fold,
    group_tokens,
    hookimpl,
)
from evenhand_sdk.storage import digest_of
from evenhand_standard.objective.axis_pairs import AxisPairOptions, terms_on_pairs
from evenhand_standard.objective.context_use import context_section
from evenhand_standard.objective.folded_divergence import mean_folded_js

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NotNegative = Annotated[float, Field(ge=0.0)]
Distance = Literal["js", "symmetric-kl", "l1-logits"]
MeanDistance = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]

POSITIONS_AT_ONCE = 128
"""Distributions are compared in chunks that are recomputed for the gradient, so that what lies between
never fills memory at once."""
LEAST = -1e4
"""Log-probabilities below this count as probability zero, and pass no gradient."""


class PairParityOptions(AxisPairOptions):
    """Options of `pair-parity`; `strength` scales both terms."""

    weight: NotNegative = Field(1.0, description="Weight of the pair term beside the language-modelling loss.")
    distance: Distance = Field("js", description="How two next-token distributions are compared.")


class PairParity(Mitigation):
    """Trains the model to expect the same words after a text and after its counterfactual."""

    name = "pair-parity"
    summary = "Draws next-token distributions of a text and its counterfactual together, and holds on to the rest."
    source = "Garg et al. 2019, Counterfactual fairness in text classification through robustness (logit pairing)"
    Options = PairParityOptions

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options

        def term(pairing: Pairing, name: str) -> LossTerm:
            fn, needs = parity(pairing.key, DISTANCES[o.distance]), Needs(counterfactual=pairing)
            return LossTerm(
                name=name, fn=fn, count=positions_of(pairing.key), weight=o.strength * o.weight, needs=needs
            )

        return terms_on_pairs(run, model, o, term, "pair parity")

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section | None:
        return None if self.options.strength == 0 else context_section(run, model, self.options.locale)


# --------------------------------------------------------------------------------------------- the two terms
def parity(key: str, distance: MeanDistance) -> Callable[[Batch, Outputs], torch.Tensor]:
    """The mean distance [] over the aligned positions of all pairs of a batch; 0 when it has none."""

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        pairs = batch.pairs[key]
        if key not in outputs.pairs or len(pairs.positions) == 0:
            return nothing(outputs)
        pair, here, there = pairs.positions.unbind(-1)
        left = outputs.logits[pairs.rows[pair], here]
        right = outputs.pairs[key].logits[pair, there]
        return distance(left, right, pairs.bins)

    return fn


def positions_of(key: str) -> Callable[[Batch], float]:
    """How many aligned positions the pairs of a batch have."""
    return lambda batch: float(len(batch.pairs[key].positions))


def pairs_of(key: str) -> Callable[[Batch], float]:
    """How many counterfactuals a batch has."""
    return lambda batch: float(len(batch.pairs[key].rows))


class RetainedWords:
    """The mean of KL(p0 || p) [] in nat over predicted words that are no group words."""

    def __init__(self, bins: torch.Tensor, *, causal: bool) -> None:
        import torch

        self.grouped, self.causal = torch.tensor(sorted(group_tokens(bins)), dtype=torch.long), causal
        self.key = f"KL to the reference but on {digest_of(self.grouped.tolist())}, causal {causal}"
        """Terms of several steps that hold the same words are one computation."""

    def kept(self, batch: Batch) -> torch.Tensor:
        """[B, T] the positions whose predictions are compared."""
        import torch

        labels = batch.labels
        kept = (labels != -100) & ~torch.isin(labels, self.grouped.to(labels.device))
        # position t predicts word t + 1
        return torch.nn.functional.pad(kept[:, 1:], (0, 1)) if self.causal else kept

    def count(self, batch: Batch) -> float:
        return float(self.kept(batch).sum())

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        assert outputs.reference is not None
        kept = self.kept(batch)
        if not kept.any():
            return nothing(outputs)
        return mean_in_chunks(forward_kl, outputs.reference.logits()[kept], outputs.logits[kept])


def forward_kl(reference: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
    """KL(p0 || p) in nat of logits [N, V] -> [N]."""
    log_p0, log_p = log_probabilities(reference), log_probabilities(trained)
    return (log_p0.exp() * (log_p0 - log_p)).sum(-1)


# ------------------------------------------------------------------------------------------------ distances
def folded_symmetric_kl(left: torch.Tensor, right: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """(KL(p || q) + KL(q || p)) / 2 in nat of folded distributions: logits [N, V] -> [N]; unbounded."""
    p, q = (fold(log_probabilities(x), bins).clamp_min(LEAST) for x in (left, right))
    return 0.5 * ((p.exp() - q.exp()) * (p - q)).sum(-1)


def folded_l1_logits(left: torch.Tensor, right: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of logits, a bin counting once with its log-sum: [N, V] -> [N]."""
    import torch

    own = bins == torch.arange(len(bins), device=bins.device)
    a, b = (fold(x.float().clamp_min(LEAST), bins).masked_fill(~own, 0.0) for x in (left, right))
    return (a - b).abs().sum(-1) / own.sum()


def _mean(distance: MeanDistance) -> MeanDistance:
    return lambda left, right, bins: mean_in_chunks(lambda a, b: distance(a, b, bins), left, right)


DISTANCES: dict[Distance, MeanDistance] = {
    "js": mean_folded_js,
    "symmetric-kl": _mean(folded_symmetric_kl),
    "l1-logits": _mean(folded_l1_logits),
}
"""Name -> mean distance [] of logits [N, V] and [N, V], given bins [V]."""


# ----------------------------------------------------------------------------------------------- arithmetic
def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Float32 log-probabilities of logits [..., V]; impossible tokens get a finite one, for the gradient."""
    return logits.float().log_softmax(-1).clamp_min(LEAST)


def mean_in_chunks(fn: Callable[..., torch.Tensor], *rows: torch.Tensor) -> torch.Tensor:
    """The mean of fn(rows) [N] over N rows [N, V]; what lies between is recomputed for the gradient."""
    import torch
    from torch.utils.checkpoint import checkpoint

    chunks = zip(*(r.split(POSITIONS_AT_ONCE) for r in rows), strict=True)
    sums: list[Any] = [
        checkpoint(lambda *c: fn(*c).sum(), *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks
    ]
    return torch.stack(sums).sum() / len(rows[0])


def nothing(outputs: Outputs) -> torch.Tensor:
    """A zero that depends on the model, so that a training on this term alone still has a gradient."""
    return outputs.logits.flatten()[:1].float().sum() * 0.0

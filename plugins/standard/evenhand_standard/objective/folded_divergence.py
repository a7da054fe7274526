"""The Jensen-Shannon divergence of folded distributions with its gradient in closed form.

With P, Q the folded probabilities of logits l, r and M = (P + Q) / 2, b(i) the bin of token i, p_i its probability:

    JS         = 1/2 sum_i p_i u_i + 1/2 sum_i q_i v_i,     u_i = log P_b(i) / M_b(i),   v_i = log Q_b(i) / M_b(i)
    dJS / dl_i = 1/2 p_i (u_i - sum_k p_k u_k)

because the derivatives of the logarithms cancel. Over a vocabulary of 50,000 this takes a fraction of the time
of automatic differentiation through the fold, and no intermediate value is kept.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROWS_AT_ONCE = 16
"""Distributions compared at a time: what lies between stays in small memory."""
SMALLEST = 1e-30
"""Stands for probability zero inside a logarithm; what it is multiplied with is zero then."""


def mean_folded_js(left: torch.Tensor, right: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Mean over N positions of the divergence in nat, between 0 and ln 2: logits [N, V] twice, bins [V] -> []."""
    return _function().apply(left, right, bins)  # type: ignore[no-any-return]


def folded_js_and_gradients(
    left: torch.Tensor, right: torch.Tensor, tokens: torch.Tensor, slots: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[N] divergences and their gradients [N, V] with respect to both logits.

    `tokens` are those that share a bin, `slots` the number of each one's bin, counted from 0.
    """
    log_p, log_q = left.float().log_softmax(-1), right.float().log_softmax(-1)
    p, q = log_p.exp(), log_q.exp()
    log_m = (p + q).mul_(0.5).clamp_min_(SMALLEST).log_()
    u, v = log_p.clamp_min_(-1e4).sub_(log_m), log_q.clamp_min_(-1e4).sub_(log_m)
    if len(tokens):
        count = int(slots.max()) + 1
        folded_p = p.new_zeros(len(p), count).index_add_(1, slots, p[:, tokens])
        folded_q = q.new_zeros(len(q), count).index_add_(1, slots, q[:, tokens])
        middle = ((folded_p + folded_q) / 2).clamp_min(SMALLEST).log()
        u[:, tokens] = (folded_p.clamp_min(SMALLEST).log() - middle)[:, slots]
        v[:, tokens] = (folded_q.clamp_min(SMALLEST).log() - middle)[:, slots]
    mean_u, mean_v = (p * u).sum(-1, keepdim=True), (q * v).sum(-1, keepdim=True)
    divergence = 0.5 * (mean_u + mean_v)[:, 0]
    return divergence, u.sub_(mean_u).mul_(p).mul_(0.5), v.sub_(mean_v).mul_(q).mul_(0.5)


@cache
def _function() -> Any:
    """The autograd function, made on first use: its base class lives in torch."""
    import torch
    from torch.autograd.function import once_differentiable

    class MeanFoldedJS(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, left: torch.Tensor, right: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
            tokens = (bins.bincount(minlength=len(bins))[bins] > 1).nonzero().flatten()
            slots = bins[tokens].unique(return_inverse=True)[1]
            gradients = torch.empty_like(left), torch.empty_like(right)
            total = left.new_zeros((), dtype=torch.float32)
            for start in range(0, len(left), ROWS_AT_ONCE):
                rows = slice(start, start + ROWS_AT_ONCE)
                found, *steps = folded_js_and_gradients(left[rows], right[rows], tokens, slots)
                total += found.sum()
                for gradient, step in zip(gradients, steps, strict=True):
                    gradient[rows] = step / len(left)
            ctx.save_for_backward(*gradients)
            return total / len(left)

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
            left, right = ctx.saved_tensors
            return left * upstream, right * upstream, None

    return MeanFoldedJS

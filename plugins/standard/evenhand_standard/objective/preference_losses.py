"""Preference losses, as functions of the log-ratio of a chosen and a rejected continuation.

    D  = log p(c|x) - log p(r|x),     D0 the same under the untouched model,     h = D - D0

    DPO     -2 w [ (1 - e) log s(b h) + e log s(-b h) ]     e: label smoothing (cDPO); w: weight of this direction
    IPO     (h - m)^2                                       m: the margin, 1 / (2 tau) in the paper
    SimPO   -log s(b D - g)                                 per token, without reference; g: the margin

Of mirrored pairs, each comparison comes as (c, r) with weight w and as (r, c) with weight 1 - w; the factor 2 makes
w = 1/2 the plain loss. Their common optimum is then b h = logit w for DPO, h = m for IPO (whose mirror has margin
-m), and D = 0 for SimPO with any g. With smoothing, both directions of DPO together are

    -2 [ q log s(b h) + (1 - q) log s(-b h) ],      q = w (1 - e) + (1 - w) e,

least at b h = logit q: another place, but for w = 1/2. Weights (w - e) / (1 - 2 e) would give back q = w, and with it
the sum without smoothing: the mirror of a pair is its smoothing.

Sources: Rafailov et al. 2023 (DPO), Mitchell 2023 (cDPO), Azar et al. 2024 (IPO), Meng et al. 2024 (SimPO).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Loss = Literal["dpo", "ipo", "simpo"]


def dpo(h: torch.Tensor, weight: torch.Tensor, *, beta: float, smoothing: float) -> torch.Tensor:
    """[P] -> [P]."""
    import torch

    sure, unsure = torch.nn.functional.logsigmoid(beta * h), torch.nn.functional.logsigmoid(-beta * h)
    return -2 * weight * ((1 - smoothing) * sure + smoothing * unsure)


def ipo(h: torch.Tensor, margin: torch.Tensor) -> torch.Tensor:
    """[P] -> [P]."""
    return (h - margin).square()


def simpo(d: torch.Tensor, *, beta: float, margin: float) -> torch.Tensor:
    """[P] -> [P]; `d` per token."""
    import torch

    return -torch.nn.functional.logsigmoid(beta * d - margin)

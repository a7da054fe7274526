"""Guidance: logits move along the difference between two sets of contexts, among the words that are plausible anyway.

With l log-probabilities after the prefix, A the plausible words, p(w) >= plausible max p, and w the weight:

    m = l + weight (mean_i l_plus_i - mean_j l_minus_j)           on A
    l' = m + log p(A) - log sum_A exp m  on A,    l' = l elsewhere

Implausible words keep their probability to the last bit of the formula, so that any text keeps a finite likelihood.
Sources: Liu et al. 2021 (DExperts), Li et al. 2023 (plausibility), Sanchez et al. 2023 (negative prompts).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LEAST = -100.0
"""Log-probability below which contexts do not tell words apart: a word impossible in one must not become certain."""


def guided(
    own: torch.Tensor, plus: torch.Tensor | None, minus: torch.Tensor, weight: float, plausible: float
) -> torch.Tensor:
    """l' above: logits [V], [i, V] (None: the prefix's own), [j, V] -> log-probabilities [V]."""
    import torch

    log_p = own.log_softmax(-1)
    towards = log_p.clamp_min(LEAST) if plus is None else plus.log_softmax(-1).clamp_min(LEAST).mean(0)
    away = minus.log_softmax(-1).clamp_min(LEAST).mean(0)
    kept = log_p >= log_p.max() + math.log(plausible)
    outside = torch.full_like(log_p, -math.inf)
    moved = torch.where(kept, log_p + weight * (towards - away), outside)
    mass = torch.where(kept, log_p, outside).logsumexp(-1)
    return torch.where(kept, moved + mass - moved.logsumexp(-1), log_p)

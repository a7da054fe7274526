"""How much of a text's meaning another one keeps, by what a model makes of their tokens.

With u_i, v_j the tokens' states in the middle layer, less the mean over the reference sentences, and c their cosine:

    P = mean_j max_i c(u_i, v_j)      R = mean_i max_j c(u_i, v_j)      F = 2 P R / (P + R)
    similarity = (F - b) / (1 - b),     b: the mean of F over pairs of reference sentences, which mean different things

So 1 is the same text, and 0 what two unrelated sentences have in common. Source: Zhang et al. 2020 (BERTScore, with its
rescaling by a baseline); the reference sentences are ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

REFERENCE: Final = (
    "The lamp in the hall was still on when we came home.",
    "Two trains a day stop at the small station by the river.",
    "She has written a long letter about the price of wheat.",
    "Nobody in the office knew how to mend the old printer.",
    "Snow fell on the mountains and melted in the afternoon.",
    "The committee will vote on the new rules next Thursday.",
    "My neighbour grows tomatoes and beans behind his garage.",
    "A clever child can learn to play this tune in an hour.",
)
"""Own sentences, of which no two are about the same thing."""


class Similarity:
    """Compares texts by their states [T, H]."""

    def __init__(self, states: Callable[[str], torch.Tensor]) -> None:
        self._states = states

    def __call__(self, one: str, other: str) -> float:
        if one == other:
            return 1.0
        return (self.overlap(one, other) - self.baseline) / (1.0 - self.baseline)

    def overlap(self, one: str, other: str) -> float:
        """F above; 0 for a text without tokens."""
        import torch

        u, v = (torch.nn.functional.normalize(self._states(text) - self.centre, dim=-1) for text in (one, other))
        if not len(u) or not len(v):
            return 0.0
        cosines = u @ v.T
        precision, recall = float(cosines.amax(0).mean()), float(cosines.amax(1).mean())
        return 2 * precision * recall / (precision + recall) if precision > 0 and recall > 0 else 0.0

    @cached_property
    def centre(self) -> torch.Tensor:
        """[H] the mean state of the reference sentences."""
        import torch

        return torch.cat([self._states(text) for text in REFERENCE]).mean(0)

    @cached_property
    def baseline(self) -> float:
        """b above."""
        found = [self.overlap(a, b) for a, b in itertools.combinations(REFERENCE, 2)]
        return min(sum(found) / len(found), 0.99)

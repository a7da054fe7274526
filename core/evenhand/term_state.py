"""What a training keeps of one of its loss terms: its values, its size at the start, and what was seen of its gradient.

`training_terms.Terms` holds one for each term.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evenhand.contributions import LossTerm
from evenhand.processes import averaged
from evenhand.update_shares import Share

if TYPE_CHECKING:
    import torch

    from evenhand.training_batch import Batch, Outputs

NORMALISING_BATCHES = 4
"""So many of the first micro-batches say how large a term is at the start."""


@dataclass
class TermState:
    """One term during a training."""

    term: LossTerm
    optimizer: torch.optim.Optimizer | None = None
    parameters: list[torch.nn.Parameter] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    """The raw value in each micro-batch."""
    seen: float = 0.0
    """Sum of |value| over the first micro-batches in which it is not zero, each times its part of the update."""
    weighed: float = 0.0
    """Sum of these parts."""
    counted: int = 0
    """How many micro-batches those are."""
    normalised: bool = False
    """Whether the value is divided by what it was at the start."""
    beside: float = 1.0
    """What the present micro-batch counts beside those of other processes."""
    pending: list[torch.Tensor] | None = None
    """Gradients of the raw value over the term's own parameters, until its optimiser steps."""
    again: tuple[Batch, Outputs] | None = None
    """What the value was computed from, where the optimiser takes several steps on it."""
    gradient_norm: float | None = None
    """The largest norm of the term's gradient, as it enters the update, that was measured; None while none was."""
    share: float | None = None
    """The largest part of the update's gradient that was measured to be this term's: its norm over the sum of the
    norms of all. None while no aggregator of losses weighs the terms anew."""
    looks: int = 0
    """How often that was measured where the term was not zero."""

    @property
    def start(self) -> float:
        """The mean of |value| in the first micro-batches in which it was not zero; 1 before any."""
        return max(self.seen / self.weighed, 1e-8) if self.counted else 1.0

    @property
    def scale(self) -> float:
        return self.start if self.normalised else 1.0

    def note_start(self, value: torch.Tensor, share: Share) -> None:
        """Take in a value of the first micro-batches. One without anything to compare is zero and says nothing."""
        if self.counted >= NORMALISING_BATCHES:
            return
        if size := abs(float(averaged(value.detach().float() * share.beside))):
            self.seen += size * share.part
            self.weighed += share.part
            self.counted += 1

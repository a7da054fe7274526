"""One loss term during a training: its values, its size at the start, its own parameters, and what was seen to act.

`training_terms.Terms` holds one for each term.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evenhand.contributions import LossTerm
from evenhand.processes import averaged
from evenhand.term_gradients import all_finite, diverged
from evenhand.update_shares import Share

if TYPE_CHECKING:
    import torch

    from evenhand.training_batch import Batch, Outputs

NORMALISING_BATCHES = 4
"""So many of the first micro-batches say how large a term is at the start."""
KEPT = ("values", "seen", "weighed", "counted", "gradient_norm", "share", "looks")
"""The fields that are kept for a resumed training as they are."""


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

    # ------------------------------------------------------------------------------------------ own parameters
    def note_own_gradients(self, value: torch.Tensor, step: int, batch: Batch, outputs: Outputs) -> None:
        """Keep the gradients of the raw value over the term's own parameters, and what it was computed from."""
        self.pending = self._own_gradients(value, step)
        if self.pending is not None and self.term.optimizer_steps > 1:
            self.again = (batch, outputs)

    def _own_gradients(self, value: torch.Tensor, step: int) -> list[torch.Tensor] | None:
        """Own parameters always descend the raw value, whatever the sign of the weight: that makes an adversary."""
        import torch

        if not self.optimizer or not value.requires_grad:
            return None
        own = value * self.beside
        grads = torch.autograd.grad(own, self.parameters, retain_graph=True, allow_unused=True)
        found = [g if g is not None else torch.zeros_like(p) for p, g in zip(self.parameters, grads, strict=True)]
        if not all_finite(found):
            what = f"the gradient of the loss term {self.term.name!r} over its own parameters became nan"
            raise diverged(what, step)
        return found

    def step_own_optimizer(self, step: int) -> None:
        """After the backward pass: the term's own optimiser descends the raw value, in one step or in several."""
        for p in self.parameters:
            p.grad = None
        self._descend()
        for _ in range(self.term.optimizer_steps - 1 if self.again is not None else 0):
            assert self.again is not None
            self.pending = self._own_gradients(self.term.fn(*self.again), step)
            self._descend()
        self.again = None

    def _descend(self) -> None:
        """One step on the gradients that wait for it."""
        if self.optimizer is None or self.pending is None:
            return
        for p, g in zip(self.parameters, self.pending, strict=True):
            p.grad = averaged(g)  # every process has its own part of the batch, and all the same adversary
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.pending = None

    # ------------------------------------------------------------------------------------------ what is kept and told
    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs to go on."""
        entry: dict[str, Any] = {name: getattr(self, name) for name in KEPT}
        entry["parameters"] = [p.detach().clone() for p in self.parameters]
        if self.optimizer is not None:
            entry["optimizer"] = self.optimizer.state_dict()
        if self.term.state_dict:
            entry["own"] = self.term.state_dict()
        return entry

    def load_state_dict(self, entry: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        import torch

        for name in KEPT:
            setattr(self, name, entry[name])
        self.values = list(self.values)
        with torch.no_grad():
            for p, value in zip(self.parameters, entry["parameters"], strict=True):
                p.copy_(value)
        if self.optimizer is not None:
            self.optimizer.load_state_dict(entry["optimizer"])
        if self.term.load_state_dict and "own" in entry:
            self.term.load_state_dict(entry["own"])

    def facts(self) -> dict[str, float | None]:
        """As `Terms.facts` tells of it."""
        span = max(1, len(self.values) // 5)
        head, tail = self.values[:span], self.values[-span:]
        found = {
            "weight": self.term.weight,
            "first": sum(head) / max(1, len(head)),
            "last": sum(tail) / max(1, len(tail)),
            "gradient_norm": self.gradient_norm,
        }
        return found if self.share is None else {**found, "share": self.share}

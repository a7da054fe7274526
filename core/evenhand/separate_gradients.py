"""The gradients of single terms over one update, and the one direction that an aggregator makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand.processes import averaged
from evenhand.term_gradients import all_finite, diverged, gradients
from evenhand.update_shares import value_and_slopes

if TYPE_CHECKING:
    import torch

    from evenhand.training_terms import Terms

CONSTRAINT = "the constraint on language quality"
"""The name under which the constraint's gradient is gathered; no aggregator sees it."""


class SeparateGradients:
    """Each term's own value [] and gradient [D] over the micro-batches of one update."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._gradients: dict[str, torch.Tensor] = {}
        self._losses: dict[str, torch.Tensor] = {}

    def add(self, weighted: dict[str, torch.Tensor], parameters: Sequence[torch.nn.Parameter], step: int) -> None:
        """Take in one micro-batch. Raises TrainingDiverged for a gradient that is not finite."""
        import torch

        for name, value in weighted.items():
            grads: Sequence[torch.Tensor | None] = (None,) * len(parameters)
            if value.requires_grad:
                grads = gradients(value, parameters)
            flat = torch.cat(
                [
                    (g if g is not None else torch.zeros_like(p)).flatten().float()
                    for g, p in zip(grads, parameters, strict=True)
                ]
            )
            if not all_finite([flat]):
                raise diverged(f"the gradient of the loss term {name!r} became nan", step)
            self._gradients[name] = self._gradients[name] + flat if name in self._gradients else flat
            number = value.detach().float()
            self._losses[name] = self._losses[name] + number if name in self._losses else number

    def combine(self, parameters: Sequence[torch.nn.Parameter], parts: int, step: int) -> None:
        """Put the aggregator's one direction [D] where the optimiser looks for the gradient, and begin anew.

        Each term is averaged over the `parts` micro-batches and over processes before the terms meet, so that all
        processes combine the same gradients. Raises TrainingDiverged for a direction that is not finite.
        """
        import torch

        share = 1.0 / parts
        gradients = {name: averaged(g.mul_(share)) for name, g in self._gradients.items()}
        losses = {name: averaged(value * share) for name, value in self._losses.items()}
        apart = [gradients.pop(name) for name in (CONSTRAINT, *self.terms.anchors_apart) if name in gradients]
        losses = {name: losses[name] for name in gradients}
        direction = self._direction(losses, gradients, step) if gradients else torch.zeros_like(apart[0])
        for gradient in apart:
            direction = direction + gradient
        start = 0
        for p in parameters:
            p.grad = direction[start : start + p.numel()].view_as(p).to(p.dtype).clone()
            start += p.numel()
        self._gradients, self._losses = {}, {}

    def _direction(
        self, losses: dict[str, torch.Tensor], gradients: dict[str, torch.Tensor], step: int
    ) -> torch.Tensor:
        """The aggregator's direction [D]: of the gradients, or along its slopes where it combines losses."""
        import torch

        aggregator = self.terms.aggregator
        assert aggregator is not None
        direction: torch.Tensor
        if aggregator.uses == "gradients":
            direction = aggregator.combine(losses, gradients)
        else:
            _, slopes = value_and_slopes(self.terms.rule, losses)
            direction = torch.zeros_like(next(iter(gradients.values())))
            for name, gradient in gradients.items():
                direction.add_(gradient, alpha=slopes[name])
        if not all_finite([direction]):
            raise diverged(f"what the aggregator {aggregator.name!r} made of the gradients became nan", step)
        return direction

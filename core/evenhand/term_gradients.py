"""Gradients of loss terms: how large they are, how a combination follows its parts, and the error for those that are no
numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evenhand.errors import TrainingDiverged, UsageError

if TYPE_CHECKING:
    import torch


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether no entry of any tensor is infinite or not a number."""
    import torch

    return all(bool(torch.isfinite(t.detach().sum(dtype=torch.float32))) for t in tensors)


def diverged(what: str, step: int) -> TrainingDiverged:
    """The error for a training that cannot go on; the one that runs it adds where the last good checkpoint is."""
    return TrainingDiverged(
        f"{what} at step {step}",
        where="training",
        do="lower training.learning_rate or the weight of that term, then start again",
    )


def diverged_gradient(name: str, norm: float, step: int) -> TrainingDiverged:
    """The error for a term whose gradient is not finite."""
    return diverged(f"the gradient of the loss term {name!r} became {norm}", step)


def derivatives(combined: torch.Tensor, weighted: dict[str, torch.Tensor]) -> dict[str, float]:
    """The derivative of a combination [] by each of the values that it was made of; 0 for those it does not follow."""
    import torch

    moving = {name: value for name, value in weighted.items() if value.requires_grad}
    found = dict.fromkeys(weighted, 0.0)
    if combined.requires_grad and moving:
        grads = torch.autograd.grad(combined, list(moving.values()), retain_graph=True, allow_unused=True)
        found |= {name: float(g) for name, g in zip(moving, grads, strict=True) if g is not None}
    return found


def gradients(value: torch.Tensor, parameters: Sequence[torch.nn.Parameter]) -> Sequence[torch.Tensor | None]:
    """The gradient of a scalar over each parameter, None for those that it does not depend on; the graph stays.

    Raises UsageError where the model computes activations again in a way that allows only the whole loss a gradient.
    """
    import torch

    try:
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            value, list(parameters), retain_graph=True, allow_unused=True
        )
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise UsageError(
            "gradient checkpointing of the reentrant kind lets no single term be differentiated",
            where="training",
            do='model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})',
        ) from error
    return found


def gradient_norm(value: torch.Tensor, parameters: Sequence[torch.nn.Parameter]) -> float:
    """Euclidean norm of the gradient of a scalar over all parameters; 0 when it depends on none."""
    if not value.requires_grad:
        return 0.0
    square = sum(float(g.detach().float().pow(2).sum()) for g in gradients(value, parameters) if g is not None)
    return math.sqrt(square) if square >= 0 else square

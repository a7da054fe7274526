"""What a forward pass reads, for steps that act at some tokens and not at others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evenhand_sdk import UsageError

if TYPE_CHECKING:
    import torch


def token_ids(args: Any, kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The token ids [B, T] that the body of a model is given; None where it is given embeddings."""
    found: torch.Tensor | None = args[0] if args else kwargs.get("input_ids")
    return found


def refuse_recomputing(body: Any, what: str, step: str, do: str) -> None:
    """UsageError when layers of this pass will be computed again for their gradients.

    By then, the tokens that were seen may be those of another pass.
    """
    import torch

    if torch.is_grad_enabled() and any(_recomputes(module) for module in body.modules()):
        raise UsageError(
            f"{what} cannot be trained through with gradient checkpointing: a layer that is computed again does not "
            "know which tokens they are",
            where=f"step {step!r}",
            do=do,
        )


def _recomputes(module: Any) -> bool:
    """Whether it will be computed again for its gradients, as transformers' layers are where a training asks for it."""
    return bool(module.training and getattr(module, "gradient_checkpointing", False))

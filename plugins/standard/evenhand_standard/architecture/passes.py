"""What a forward pass reads, for steps that act at some tokens and not at others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from evenhand_sdk import UsageError

if TYPE_CHECKING:
    import torch


_READING: ContextVar[Any] = ContextVar("reading", default=None)


def token_ids(args: Any, kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The token ids [B, T] that the body of a model is given; None for embeddings of which nobody tells more."""
    found: torch.Tensor | None = args[0] if args else kwargs.get("input_ids")
    return _READING.get() if found is None else found


@contextmanager
def reading(ids: torch.Tensor) -> Iterator[None]:
    """In this block, passes that are given embeddings are of these tokens [B, T]."""
    token = _READING.set(ids)
    try:
        yield
    finally:
        _READING.reset(token)


def positions(ids: torch.Tensor, kwargs: dict[str, Any]) -> torch.Tensor:
    """The position [B, T] of each token in its own text, counted from 0: behind padding, and behind what a cache holds.

    Of rows with several texts, it is what the pass says.
    """
    import torch

    given = kwargs.get("position_ids")
    if given is not None:
        return given.expand_as(ids)  # type: ignore[no-any-return]
    mask = kwargs.get("attention_mask")
    if mask is not None and mask.ndim == 2:
        return (mask.long().cumsum(-1) - 1)[:, -ids.shape[1] :]
    cache = kwargs.get("past_key_values")
    before = 0 if cache is None else int(cache.get_seq_length())
    return torch.arange(before, before + ids.shape[1], device=ids.device).expand_as(ids)


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

"""Attention masks that are ready for a model's layers, where its library would take long to make them.

For a batch with padding, transformers makes the same mask anew at every token, by mapping a function over all places:
more than 2 ms on one core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

FAMILIES: Final = frozenset({"gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3"})
"""Model types that use the mask of their input for attention alone, and take one that is ready as it is."""


def takes_ready_masks(model: Any) -> bool:
    """Whether the model's layers all read everything before them, by torch's own attention."""
    config = model.config
    return (
        config.model_type in FAMILIES
        and getattr(config, "_attn_implementation", None) == "sdpa"
        and getattr(config, "sliding_window", None) is None
    )


def for_one_token(mask: torch.Tensor) -> torch.Tensor:
    """[B, T], not 0 where a token is read -> [B, 1, 1, T], for the token behind them all."""
    return mask.bool()[:, None, None, :]

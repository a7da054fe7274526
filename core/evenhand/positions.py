"""How many tokens a text may have for a model."""

from __future__ import annotations

from typing import Any


def most_tokens(model: Any) -> int:
    """The positions that a model has for tokens; a very great number where it does not say."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31
    return int(positions) - _never_taken(model)


def _never_taken(model: Any) -> int:
    """The positions that no token has: RoBERTa and its kin count from behind the index of padding."""
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    index = getattr(table, "padding_idx", None)
    return 0 if index is None else int(index) + 1

"""Which tokens end an answer, and which one fills up a batch."""

from __future__ import annotations

from typing import Any


def end_tokens(generation_config: Any) -> list[int]:
    """The tokens of which any ends an answer; chat models often have several."""
    value = generation_config.eos_token_id
    if value is None:
        return []
    return [int(v) for v in value] if isinstance(value, list) else [int(value)]


def answer_ends(tokenizer: Any, generation_config: Any) -> list[int]:
    """The tokens of which any ends an answer of the toolkit: those of the model, and the tokenizer's."""
    ends = end_tokens(generation_config)
    own = tokenizer.eos_token_id
    return ends if own is None or own in ends else [*ends, int(own)]


def pad_token(source: Any) -> int:
    """The padding token that a tokenizer or a generation config names, else its first end token, else 0."""
    found = next((v for v in (source.pad_token_id, source.eos_token_id) if v is not None), 0)
    return int(found[0] if isinstance(found, list) else found)

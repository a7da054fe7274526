"""The measures of a model as its configuration names them, so that a step can tell what does not fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A model from its configuration alone; None where the configuration does not say it."""

    model_type: str
    """`model_type`, such as `llama`."""
    layers: int | None = None
    width: int | None = None
    """Of the residual stream."""
    heads: int | None = None
    """Query heads of a layer."""
    groups: int | None = None
    """Key-value heads of a layer."""
    head_size: int | None = None
    feed_forward: int | None = None
    """Width inside the feed-forward block."""


def shape_of(fields: Mapping[str, Any]) -> ModelShape:
    """The shape that the fields of a configuration describe: those of `config.json`, or of `config.to_dict()`."""
    text = fields.get("text_config")
    parts = (text, fields) if isinstance(text, Mapping) else (fields,)

    def number(*names: str) -> int | None:
        found = (part.get(name) for part in parts for name in names)
        return next((value for value in found if type(value) is int and value > 0), None)

    width, heads = number("hidden_size", "n_embd", "d_model", "dim"), number("num_attention_heads", "n_head", "n_heads")
    return ModelShape(
        model_type=str(fields.get("model_type", "")),
        layers=number("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        width=width,
        heads=heads,
        groups=number("num_key_value_heads") or heads,
        head_size=number("head_dim") or (width // heads if width and heads else None),
        feed_forward=number("intermediate_size", "n_inner", "ffn_dim"),
    )

"""Models that the library `peft` has wrapped: its adapters stand inside of the model, its own class around it."""

from __future__ import annotations

from typing import Any


def unwrapped(model: Any) -> Any:
    """The model that `peft` was put around, its adapters in place; any other model is given as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model

"""Models that the library `peft` has wrapped: its class stands around them, and its adapters in the place of layers."""

from __future__ import annotations

import sys
from typing import Any

from evenhand.errors import UsageError


def unwrapped(model: Any) -> Any:
    """The model that `peft` was put around, its adapters in place; any other model is given as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def demand_unwrapped(model: Any, where: str) -> None:
    """Raises UsageError for a model of `peft`, or one in which it has replaced modules: no step changes such a one."""
    peft = sys.modules.get("peft")  # nothing is wrapped by what nobody has imported
    if peft is None:
        return
    wrapped = isinstance(model, peft.PeftModel | peft.PeftMixedModel)
    from peft.tuners.tuners_utils import BaseTunerLayer

    if wrapped:
        what, do = (
            f"{type(model).__name__} is a model that peft has wrapped",
            "give what model.merge_and_unload() returns",
        )
    elif any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        what = f"peft has put adapters into this {type(model).__name__}"
        do = "merge them (peft.PeftModel.from_pretrained(MODEL, ADAPTER).merge_and_unload()), or load the model without"
    else:
        return
    raise UsageError(
        what,
        where=where,
        known="steps change the model's own weights and layers, which peft has put others in the place of",
        do=f"{do}; to train LoRA here, take the step `lora`",
    )

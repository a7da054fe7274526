"""Which model an adapter was trained for: a digest of the weights without any adapter.

The same weights may be loaded in a shorter number format than they were saved in. So there is one digest of the weights
rounded to bfloat16 and one of those rounded to float16; a model in float16 is compared by the second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evenhand_sdk import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KEY: Final = "base_digest"


def body_of(model: PreTrainedModel) -> Any:
    """The model below its head; for a class whose `base_model` is the whole (Gemma 3), its part `model`."""
    body = model.base_model
    return getattr(model, "model", body) if body is model else body


def base_digest(model: PreTrainedModel) -> dict[str, str]:
    """Number format -> digest of all parameters that are part of no adapter or fusion, by name."""
    import torch

    added = tuple(f"{name}." for name, module in model.named_modules() if name and hasattr(module, "evenhand_part"))
    formats = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    sums = {name: hashlib.blake2b(digest_size=16) for name in formats}
    for name, p in sorted(model.named_parameters()):
        if name.startswith(added):
            continue
        for label, dtype in formats.items():
            sums[label].update(name.encode())
            rounded = p.detach().to(dtype).contiguous().flatten()
            sums[label].update(rounded.view(torch.uint8).cpu().numpy())
    return {label: found.hexdigest() for label, found in sums.items()}


def demand_base(model: PreTrainedModel, facts: Mapping[str, Any], what: str, folder: Path) -> None:
    """UsageError when the facts beside an adapter name another base; without a digest, nothing is known."""
    stored = facts.get(KEY)
    if not isinstance(stored, dict):
        return
    label = "float16" if str(model.dtype) == "torch.float16" else "bfloat16"
    if stored.get(label) != base_digest(model)[label]:
        raise UsageError(
            f"{what} was trained for another base model: the digest of the weights differs",
            where=str(folder),
            known=f"trained for {stored.get(label)}, this model is {base_digest(model)[label]}",
            do="load the model that it was trained for",
        )

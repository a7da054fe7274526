"""LoRA as the folder that `peft` writes and reads: adapter_config.json and adapter_model.safetensors.

Beside them lie `evenhand.json`, which says what the adapter was trained beside, and a seal over all files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evenhand_sdk.storage import atomic_folder

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from evenhand_standard.architecture.low_rank import LoraSettings

FOLDER: Final = "adapter"
"""Of a step's folder in the run."""
FACTS: Final = "evenhand.json"


def write_folder(
    folder: Path,
    model: PreTrainedModel,
    tensors: Mapping[str, torch.Tensor],
    settings: LoraSettings,
    alpha: float,
    *,
    base: str | None,
    facts: Mapping[str, Any],
) -> None:
    """Write the adapter, whole or not at all; `tensors` are named `PATH.lora_A` and `PATH.lora_B`."""
    from safetensors.torch import save_file

    paths = [name.removesuffix(".lora_A") for name in tensors if name.endswith(".lora_A")]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if model.can_generate() else None,
        "base_model_name_or_path": model.name_or_path or None,
        "r": settings.rank,
        "lora_alpha": alpha,
        "lora_dropout": settings.dropout,
        "bias": "none",
        "fan_in_fan_out": any("Conv1D" in type(model.get_submodule(path)).__name__ for path in paths),
        "target_modules": short_names(model, paths),
        "inference_mode": True,
    }
    named = {f"base_model.model.{name}.weight": tensor.float().contiguous() for name, tensor in tensors.items()}
    with atomic_folder(folder) as place:
        save_file(named, place / "adapter_model.safetensors", metadata={"format": "pt"})
        (place / "adapter_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        (place / FACTS).write_text(json.dumps({"base": base, **facts}, indent=1), encoding="utf-8")


def short_names(model: PreTrainedModel, paths: Sequence[str]) -> list[str]:
    """Ends of module names that mean these modules and no others, as `peft` reads them; else the whole paths."""
    for width in (1, 2):
        ends = sorted({".".join(path.split(".")[-width:]) for path in paths})
        meant = {name for name, _ in model.named_modules() if any(f".{name}".endswith(f".{end}") for end in ends)}
        if meant == set(paths):
            return ends
    return sorted(paths)


def base_digest(model: PreTrainedModel, paths: Sequence[str]) -> str | None:
    """A digest of the matrices beside which an adapter is trained: the same in float32 and in bfloat16.

    None for a model in another format, whose rounding would give another digest for the same model.
    """
    import torch

    found = hashlib.sha256()
    for path in sorted(paths):
        weight = model.get_submodule(path).weight.detach()
        if weight.dtype not in (torch.float32, torch.bfloat16, torch.float64):
            return None
        found.update(path.encode())
        found.update(weight.to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()

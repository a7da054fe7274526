"""Which tensors are weights as they are, and not codes of weights that a scale beside them, or a class, makes whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch


SCALE: Final = "weight_scale"
"""How the names of scales begin that make codes whole."""


def coded(module: Any, name: str = "weight") -> str:
    """In what way a tensor of a module is no plain weight, in a few words; empty for a plain one.

    Plain are tensors and parameters of torch itself in float16, bfloat16, float32 or float64. The one named `weight`
    also must have no `weight_scale*` beside it.
    """
    import torch

    tensor = getattr(module, name)
    if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return dtype_name(tensor)
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return type(tensor).__name__
    kept = {*vars(module), *module._parameters, *module._buffers} if name == "weight" else ()
    scale = next((n for n in sorted(kept) if n.startswith(SCALE) and getattr(module, n) is not None), "")
    return f"{dtype_name(tensor)} with {scale}" if scale else ""


def dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")

"""Which tensors are weights as they are, and not codes of weights that a scale beside them, or a class, makes whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evenhand_sdk import UsageError

if TYPE_CHECKING:
    import torch


SCALE: Final = "weight_scale"
"""How the names of scales begin that make codes whole."""
PACKED: Final = "packed codes"
"""How weights are kept that are no tensor of their module: `torch.ao` keeps those of its layers so."""


def coded(module: Any, name: str = "weight") -> str:
    """In what way a tensor of a module is no plain weight, in a few words; empty for a plain one.

    Plain are float16, bfloat16, float32 and float64, of any class that does not bring its own way to be made whole:
    those by which libraries keep codes say that they are floats. The one named `weight` also must have no
    `weight_scale*` beside it.
    """
    import torch

    tensor = getattr(module, name)
    if not isinstance(tensor, torch.Tensor):
        return PACKED  # a method that unpacks it
    if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return dtype_name(tensor)
    if type(tensor).dequantize is not torch.Tensor.dequantize:
        return type(tensor).__name__
    kept = {*vars(module), *module._parameters, *module._buffers} if name == "weight" else ()
    scale = next((n for n in sorted(kept) if n.startswith(SCALE) and getattr(module, n) is not None), "")
    return f"{dtype_name(tensor)} with {scale}" if scale else ""


def quantised(model: Any) -> dict[str, str]:
    """Name of each weight of a model that is no plain one -> how it is kept."""
    found = {}
    for path, module in model.named_modules():
        kept = [name for name, _ in module.named_parameters(recurse=False)]
        if callable(getattr(module, "weight", None)):
            kept.append("weight")
        found |= {f"{path}.{name}".lstrip("."): how for name in kept if (how := coded(module, name))}
    return found


def demand_plain(model: Any, do: str) -> None:
    """Raises UsageError, which says what to `do`, for a model some of whose weights are quantised."""
    if found := quantised(model):
        name, how = next(iter(found.items()))
        raise UsageError(
            f"{name!r} of the model is quantised ({how}), and no training moves it",
            where="weights",
            known=f"quantised tensors of the model: {len(found)}",
            do=do,
        )


def dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")

"""The number format of a measurement: bf16 where the processor is good at it, float32 elsewhere."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from evenhand.devices import bf16_units
from evenhand.evaluation_mode import evaluation_mode
from evenhand.fast_products import fast_products

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Precision = Literal["auto", "float32", "bf16", "bfloat16"]
"""`bfloat16` is another name of `bf16`."""


def fast_bf16(device: str | torch.device = "cpu") -> bool:
    """Whether bf16 matrix products are faster than float32 ones on this kind of device.

    Decided by what the processor says of itself, not by a stopwatch: a busy moment must not change the numbers.
    Processors without such units accept bf16 and emulate it slowly.
    """
    return _fast_bf16(str(device).partition(":")[0])


@functools.cache
def _fast_bf16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    return bool(bf16_units())


def resolve(model: PreTrainedModel, dtype: Precision) -> str:
    """The format that a model is scored in: that of its weights, or `bf16` by autocast over float32
    weights."""
    import torch

    if dtype not in ("auto", "float32", "bf16", "bfloat16"):
        raise ValueError(f"dtype must be 'auto', 'float32' or 'bf16', not {dtype!r}")
    if dtype == "bfloat16":
        dtype = "bf16"
    weights = next(model.parameters())
    if weights.dtype != torch.float32:
        return str(weights.dtype).removeprefix("torch.")
    if dtype == "auto":
        return "bf16" if fast_bf16(weights.device.type) else "float32"
    return dtype


@contextlib.contextmanager
def measuring(model: PreTrainedModel, precision: str) -> Iterator[None]:
    """Evaluation mode without gradients, in the given format."""
    import torch

    from evenhand.filling import as_it_is

    device: torch.device = next(model.parameters()).device
    # Not inference_mode: buffers that a model makes on the way must remain usable in training.
    with (
        evaluation_mode(model), torch.no_grad(), _autocast(device, precision),
        fast_products(model, precision, within=False), as_it_is(),
    ):  # fmt: skip
        yield


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    import torch

    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    known = torch.amp.is_autocast_available(device.type)
    if known and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)  # a rule measures in float32 inside a measurement in bf16
    return contextlib.nullcontext()

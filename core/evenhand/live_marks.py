"""What a step has put on a model beside its weights: hooks, parameters and buffers of its own, replaced `forward`s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def marks(model: PreTrainedModel) -> frozenset[Any]:
    """Each of them by what it is known by; hooks by their numbers, which torch gives once in a process."""
    found: set[Any] = {name for name, _ in model.named_parameters()} | {name for name, _ in model.named_buffers()}
    for name, module in model.named_modules():
        found.update(module._forward_hooks, module._forward_pre_hooks)
        if "forward" in vars(module):
            found.add((name, id(vars(module)["forward"])))
    return frozenset(found)

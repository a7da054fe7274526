"""Which parameters are the model's own: not those that other steps have added to it, nor those that are frozen.

A step that lets the training move "all weights" means these. What another step has added is told by its name: a
parameter that begins with `evenhand_`, or one below a module that has the attribute `evenhand_part`, as adapters have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PREFIX: Final = "evenhand_"
MARK: Final = "evenhand_part"


def own_parameters(model: PreTrainedModel) -> list[str]:
    """Names of the parameters that a training of the whole model may move, in the model's order."""
    added = tuple(f"{name}." for name, module in model.named_modules() if name and hasattr(module, MARK))
    return [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and not name.rpartition(".")[2].startswith(PREFIX) and not name.startswith(added)
    ]

"""Which parameters are the model's own: not those that other steps have added to it, nor those that are frozen.

A step that lets the training move "all weights" means these. What another step has added is told by its name: a
parameter that begins with `evenhand_`, or one below a module that has the attribute `evenhand_part`, as adapters have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evenhand_sdk import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PREFIX: Final = "evenhand_"
MARK: Final = "evenhand_part"


def own_parameters(model: PreTrainedModel) -> list[str]:
    """Names of the parameters that a training of the whole model may move, in the model's order.

    Raises UsageError where all are frozen.
    """
    added = tuple(f"{name}." for name, module in model.named_modules() if name and hasattr(module, MARK))
    found = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and not name.rpartition(".")[2].startswith(PREFIX) and not name.startswith(added)
    ]
    if not found:
        raise UsageError(
            "every parameter of the model is frozen, so that no training moves it",
            where="weights",
            known="peft leaves a model so, also behind merge_and_unload()",
            do="call model.requires_grad_(True) first",
        )
    return found

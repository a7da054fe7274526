"""A model transform that changes weight matrices by a formula, and can take it back bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from evenhand_sdk import Artifact, ModelTransform

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def changed_weights(
    change: Callable[[str, torch.Tensor], torch.Tensor], names: Collection[str] | None = None
) -> ModelTransform:
    """Puts `change(name, W)` in the place of every parameter W with two or more dimensions, tied ones once; or of
    those that are named.

    The weights before are kept in memory until the change is taken back or made final. It must give the same weights
    whenever it is asked.
    """
    kept: dict[str, torch.Tensor] = {}

    def apply(model: PreTrainedModel, artifact: Artifact) -> None:
        import torch

        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name in names if names is not None else weight.ndim >= 2:
                    kept[name] = weight.detach().clone()
                    weight.copy_(change(name, weight.float()))

    def revert(model: PreTrainedModel) -> None:
        import torch

        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name in list(kept):
                parameters[name].copy_(kept.pop(name))

    def fold(model: PreTrainedModel) -> bool:
        kept.clear()  # they are plain weights already
        return True

    return ModelTransform(apply=apply, revert=revert, fold=fold)

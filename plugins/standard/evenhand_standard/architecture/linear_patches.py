"""What is added to a matrix of a model, live until it is folded: y = W x + D x.

Live, a hook adds D x behind the module, so that a training in between moves W alone and `take` restores it to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evenhand_sdk import UsageError
from evenhand_standard.architecture.layer_parts import Matrix, layers_of
from evenhand_standard.architecture.live_hooks import Beside

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass
class LivePatches:
    """The patches of one step on the output matrices of feed-forward blocks."""

    step: str
    strength: float
    _held: list[tuple[Matrix, torch.Tensor, Any]] = field(default_factory=list)

    def put(self, model: PreTrainedModel, patches: Mapping[int, torch.Tensor]) -> None:
        """Add D [H, I] of each of these layers from now on. UsageError for layers or shapes that the model lacks."""
        layers = layers_of(model)
        for number, patch in patches.items():
            known = number < len(layers)
            shape = tuple(layers[number].feed_forward_out.weight().shape) if known else ()
            if tuple(patch.shape) != shape:
                raise UsageError(
                    f"the edit of layer {number} is for a matrix of {tuple(patch.shape)}",
                    where=f"step {self.step!r}",
                    known=f"that of the model has {shape}" if known else f"the model has {len(layers)} layers",
                    do="the artifact belongs to another model",
                )
        for number, patch in patches.items():
            self.put_at(layers[number].feed_forward_out, patch)

    def put_at(self, matrix: Matrix, patch: torch.Tensor) -> None:
        """Add D behind one module."""
        strength, beside = self.strength, Beside(patch)

        def patched(owner: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
            return out + strength * (args[0] @ beside.like(args[0]).T)

        self._held.append((matrix, patch, matrix.module.register_forward_hook(patched)))

    def take(self, model: PreTrainedModel) -> None:
        """The model as it was before."""
        while self._held:
            self._held.pop()[2].remove()

    def fold(self, model: PreTrainedModel) -> bool:
        """Add each D to its matrix."""
        import torch

        held = list(self._held)
        self.take(model)
        for matrix, patch, _ in held:
            weight = matrix.weight()
            wide = weight.to("cpu", torch.float64) + self.strength * patch.to("cpu", torch.float64)
            matrix.write(wide.to(weight))
        return True

"""Random directions erased from the residual stream: what erasing the directions of a concept must beat.

    h  ->  h - sum over j of c_j (h . u_j) u_j        at the output of every layer

u are orthonormal directions drawn from the seed, the same ones at every layer; c is 1 for the first strength * H of
them, H being the width of the stream, and a part of 1 for the next, so that the rank is continuous and the loss of
quality can be matched to that of a run.

Source: the degradation controls of this project's reporting protocol.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Artifact, Mitigation, ModelTransform, RunContext, StrengthOptions, hookimpl

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class RandomDirections(Mitigation):
    """Erases directions, as a control that fairer-looking numbers must beat."""

    name = "random-directions"
    summary = "A control: erases directions drawn at random from the residual stream; strength is their share."
    source = "Degradation-matched controls (this project)"
    draws = True
    Options = StrengthOptions

    @hookimpl
    def architecture(self, run: RunContext, model: PreTrainedModel) -> ModelTransform | None:
        strength = self.options.strength
        if strength == 0:
            return None
        handles: list[Any] = []

        def fit(model: PreTrainedModel) -> Artifact:
            basis = directions(int(model.config.hidden_size), strength, run.seed_for("directions"))
            return Artifact(tensors={"directions": basis})

        def apply(model: PreTrainedModel, artifact: Artifact) -> None:
            basis = artifact.tensors["directions"]

            def hook(module: Any, given: Any, output: Any) -> Any:
                if isinstance(output, tuple):
                    return (erased(output[0], basis), *output[1:])
                return erased(output, basis)

            handles.extend(layer.register_forward_hook(hook) for layer in layers(model))

        def revert(model: PreTrainedModel) -> None:
            while handles:
                handles.pop().remove()

        return ModelTransform(fit=fit, apply=apply, revert=revert)


def layers(model: PreTrainedModel) -> list[Any]:
    """The modules of the layers, from the input on. Raises UsageError for a family that is not described."""
    from evenhand_standard.architecture.families import family_of, layer_numbers

    places = {f"{name}.": module for name, module in model.named_modules()}
    numbers = layer_numbers(places, family_of(model))
    shortest: dict[int, str] = {}
    for name, number in numbers.items():
        if number not in shortest or len(name) < len(shortest[number]):
            shortest[number] = name
    return [places[shortest[number]] for number in sorted(shortest)]


def directions(width: int, strength: float, seed: int) -> torch.Tensor:
    """[width, k] orthonormal columns, the last one times the root of its part; more of them begin with the same."""
    import torch

    amount = strength * width
    count = min(width, math.ceil(amount))
    drawn = torch.randn((width, width), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    basis, _ = torch.linalg.qr(drawn[:, :count])
    shares = (amount - torch.arange(count, dtype=torch.float64)).clamp(0, 1)
    return (basis * shares.sqrt()).float()


def erased(states: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """States [..., width] without their parts along the columns of the basis, computed in float32."""
    import torch

    on = basis.to(states.device)
    whole = states.float()
    with torch.autocast(whole.device.type, enabled=False):  # which would multiply in bf16
        return (whole - (whole @ on) @ on.T).to(states.dtype)

"""A fusion without weights to learn: the sum of what the adapters add, each times a factor; imported inside functions.

The library's own `Average` divides the sum of `weight * (h + z_n)` by the number of adapters once more, and so loses
part of the residual stream `h`. Here a module takes the place of the library's attention, so that all that is true of a
fusion (one setup for each request, adapters that are off left out) is true of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch  # noqa: TID253 - this module is imported inside functions only
from adapters import AdapterSetup, Fuse  # noqa: TID253

from evenhand_adapterfusion import bottleneck, fusion_layers


class WeightedSum(torch.nn.Module):
    """out = h + sum_n w_n z_n, over the adapters that are on."""

    def __init__(self, name: str, weights: dict[str, float], config: Any) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        self.config = config
        """The model's record of its adapters: it knows which are on. A copy of the model copies it along."""

    def forward(
        self, query: Any, key: Any, value: torch.Tensor, residual: torch.Tensor, output_attentions: bool = False
    ) -> Any:
        """Outputs of the adapters [B, T, n, H], in the order of the active setup, and h [B, T, H] -> [B, T, H]."""
        factors = [self.weights[name] for name in self._active()]
        out = residual
        for n, factor in enumerate(factors):
            if factor:  # adding zero would not change a value, but it would cost
                out = out + factor * value[:, :, n]
        if not output_attentions:
            return out
        shares = torch.tensor(factors, dtype=value.dtype, device=value.device).expand(*value.shape[:3])
        return out, shares

    def _active(self) -> list[str]:
        context = AdapterSetup.get_context()  # of this thread's request, where there is one
        setup = context.adapter_setup if context is not None else self.config.active_setup
        return next(list(block.children) for block in _blocks(setup) if block.name == self.name)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={weight:g}" for name, weight in self.weights.items())


def _blocks(setup: Any) -> Iterator[Any]:
    if isinstance(setup, Fuse):
        yield setup
    elif not isinstance(setup, str):
        for child in setup:
            yield from _blocks(child)


def add(model: Any, name: str, adapters: Sequence[str], weights: Sequence[float]) -> None:
    """Add the sum of adapters that the model has, freeze them, and switch the sum on."""
    from adapters import DynamicAdapterFusionConfig

    fusion_layers.check(model, name, adapters)
    known = model.adapters_config
    known.add_fusion(list(adapters), config=DynamicAdapterFusionConfig(), fusion_name=name)
    for layer in bottleneck.layers(model):
        if known.common_config_value(list(adapters), layer.location_key):
            of = dict(zip(adapters, weights, strict=True))
            layer.adapter_fusion_layer[name] = WeightedSum(name, of, known).train(model.training)
    fusion_layers.switch_on(model, name)

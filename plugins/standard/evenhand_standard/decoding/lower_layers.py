"""The layers of a model below those that are moved: passes over one batch compute them once.

Nothing below the lowest moved norm depends on the shift, at any token, so what comes out of it may be kept from the
first pass to the last. What stands above depends on it at every token, so a key-value cache would be wrong there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch

LAYER = re.compile(r"\.(\d+)\.")


class LowerLayers:
    """A block in which the layers below the norms are computed until `replay`, and then only give what they gave.

    Other threads that use the model meanwhile compute them as always.
    """

    def __init__(self, model: Any, norms: Sequence[torch.nn.Module]) -> None:
        self.layers = layers_below(model, norms)
        self._own = [vars(layer).get("forward") for layer in self.layers]
        self._calls = 0
        self._playing = False
        self._kept: Any = None
        self._thread = threading.get_ident()

    def __enter__(self) -> Self:
        for layer in self.layers:
            layer.forward = self._once(layer.forward)
        return self

    def __exit__(self, *error: object) -> None:
        for layer, own in zip(self.layers, self._own, strict=True):
            if own is None:
                del layer.forward
            else:
                layer.forward = own
        self._kept = None

    def replay(self) -> None:
        """One pass has been made; a model that goes through its layers more than once a pass computes them again."""
        self._playing = self._calls == len(self.layers) > 0

    def _once(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def once(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return forward(*args, **kwargs)
            if not self._playing:
                self._calls += 1
                self._kept = forward(*args, **kwargs)  # that of the last layer is what stays
            return self._kept

        return once


def layers_below(model: Any, norms: Sequence[torch.nn.Module]) -> list[torch.nn.Module]:
    """The layers under the lowest of these norms, which lie in one list of layers; none where they do not."""
    import torch

    wanted = {id(norm) for norm in norms}
    places = set()
    for name, module in model.named_modules():
        if id(module) in wanted:
            number = LAYER.findall(f".{name}.")[-1]
            places.add((name.rpartition(f".{number}.")[0], int(number)))
    if len({path for path, _ in places}) != 1:
        return []
    path, lowest = min(places)
    layers = model.get_submodule(path)
    return list(layers[:lowest]) if isinstance(layers, torch.nn.ModuleList) else []

"""The parameters of a model as they are for gradients in something else: no gradient goes through them.

Switching their `requires_grad` off would do the same for everybody, and whoever trains the model in another thread
would get an error. Left as they are, everything that their own gradients would need were kept, twice as much memory.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextlib.contextmanager
def fixed_parameters(model: torch.nn.Module) -> Iterator[None]:
    """A block in which modules find their parameters detached, in this thread and no other.

    Where a module keeps its parameters in no plain dictionary, gradients go through them: right, but dearer.
    """
    seen = [(module, _Seen(module._parameters)) for module in model.modules() if type(module._parameters) is dict]
    try:
        for module, parameters in seen:
            vars(module)["_parameters"] = parameters
        yield
    finally:
        for module, parameters in seen:
            if vars(module)["_parameters"] is parameters:
                vars(module)["_parameters"] = dict(parameters)  # with what others may have put there meanwhile
            parameters.end()


class _Seen(dict[str, Any]):
    """The parameters of a module; in the thread that makes this, each is found detached, until the end."""

    def __init__(self, parameters: dict[str, torch.nn.Parameter | None]) -> None:
        super().__init__(parameters)
        self._detached = {name: p.detach() for name, p in parameters.items() if p is not None and p.requires_grad}
        self._thread: int | None = threading.get_ident()

    def __getitem__(self, name: str) -> Any:
        if threading.get_ident() == self._thread and name in self._detached:
            return self._detached[name]
        return super().__getitem__(name)

    def __reduce__(self) -> Any:
        """A copy of the model made meanwhile has its parameters as they are."""
        return dict, (dict(self),)

    def end(self) -> None:
        self._thread = None
        self._detached = {}

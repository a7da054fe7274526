"""Hooks on modules of a model, as one thing that can be taken away again, and the tensors that they use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Change = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass
class Hooks:
    """Registered hooks; `remove` leaves the model as it was."""

    handles: list[Any] = field(default_factory=list)

    def on_output(self, module: Any, change: Change) -> None:
        """Replace what a module gives, or the first of several things, by `change` of it."""

        def hook(owner: Any, args: Any, out: Any) -> Any:
            return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

        self.handles.append(module.register_forward_hook(hook))

    def on_input(self, module: Any, change: Change) -> None:
        """Replace the first input of a module by `change` of it."""

        def hook(owner: Any, args: Any) -> Any:
            return (change(args[0]), *args[1:])

        self.handles.append(module.register_forward_pre_hook(hook))

    def seen(self, module: Any, look: Callable[[Any, dict[str, Any]], None]) -> None:
        """Call `look(args, kwargs)` before a module works."""

        def hook(owner: Any, args: Any, kwargs: Any) -> None:
            look(args, kwargs)

        self.handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def remove(self) -> None:
        """Take all of them away."""
        while self.handles:
            self.handles.pop().remove()


class Beside:
    """A tensor that acts beside a model: moved once to each device and number format, not at every call."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor
        self._moved: dict[tuple[Any, Any], torch.Tensor] = {}

    def like(self, states: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The tensor where `states` are, in their number format or the given one."""
        key = (states.device, dtype or states.dtype)
        if key not in self._moved:
            self._moved[key] = self._tensor.to(device=key[0], dtype=key[1])
        return self._moved[key]

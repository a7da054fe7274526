"""Hooks on modules of a model, as one thing that can be taken away again."""

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

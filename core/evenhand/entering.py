"""Seeing what enters a module of a model that others may be using.

Several threads may ask one model at the same time, and a hook on a module is called whoever runs it. The hooks here
look at the passes of the thread that put them there; the passes of all others go on as they are.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_registering = threading.Lock()
"""Handles of torch are numbered by a counter without a lock, and of two hooks of one number the later one stays."""


@contextlib.contextmanager
def entering(module: torch.nn.Module, look: Callable[[tuple[Any, ...]], tuple[Any, ...] | None]) -> Iterator[None]:
    """A block in which `look` is given the arguments of each call of `module` in this thread, and may exchange them."""
    mine = threading.get_ident()

    def hook(_: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return look(args) if threading.get_ident() == mine else None

    with _registering:
        handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()

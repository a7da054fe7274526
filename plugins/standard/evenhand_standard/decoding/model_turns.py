"""Who moves a model takes turns with all others who do, whichever steps they are of."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import torch

_making = threading.Lock()
_locks: WeakKeyDictionary[torch.nn.Module, threading.Lock] = WeakKeyDictionary()


@contextlib.contextmanager
def turn(model: Any) -> Iterator[None]:
    """A block that one thread at a time has of a model; those of other models go on meanwhile."""
    with _making:
        mine = _locks.setdefault(model, threading.Lock())
    with mine:
        yield

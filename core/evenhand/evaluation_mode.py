"""A model in evaluation mode for as long as anybody asks it, and as it was when the last has ended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import torch

_counting = threading.Lock()
_asked: WeakKeyDictionary[torch.nn.Module, tuple[int, bool]] = WeakKeyDictionary()
"""Module -> how many blocks it is asked in just now, and whether it was in training mode before the first of them."""


@contextlib.contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """A block in which a model is in evaluation mode: nothing is dropped, in none of the threads that ask it.

    Every module goes back to the mode that it was in itself, when the last of the blocks that it is asked in ends, so
    that nobody's answer is finished by a model that trains. Modules are counted one by one: two models may share some.
    """
    modules = list(model.modules())
    with _counting:
        for module in modules:
            users, trained = _asked.get(module, (0, False))
            _asked[module] = users + 1, trained or module.training
    try:
        with _counting:
            model.eval()
        yield
    finally:
        with _counting:
            for module in modules:
                users, trained = _asked.pop(module)
                if users > 1:
                    _asked[module] = users - 1, trained
                elif trained:
                    module.training = True

"""How a writing is ended from outside: whoever reads it closes it, in any thread, and no further token is written."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_closed: ContextVar[threading.Event | None] = ContextVar("the reader has closed", default=None)


class Closed(BaseException):
    """Raised where the model writes, when its reader has closed."""


@contextlib.contextmanager
def until(closed: threading.Event) -> Iterator[None]:
    """A block in which all writing ends, with `Closed`, before the next token once this is set."""
    before = _closed.set(closed)
    try:
        yield
    finally:
        _closed.reset(before)


def closing() -> list[Any]:
    """The criterion of transformers that ends a writing when it is closed; none where nobody can close it.

    Raises `Closed` where it is closed already.
    """
    found = _closed.get()
    if found is None:
        return []
    closed: threading.Event = found
    import torch
    from transformers import StoppingCriteria

    class WhenClosed(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
            if closed.is_set():
                raise Closed
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    if closed.is_set():
        raise Closed
    return [WhenClosed()]

"""Corrections for several tests at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def holm(p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Adjusted p of the values in the last dimension, [..., T] -> [..., T] (Holm 1979): below the level, reject."""
    import numpy as np

    count = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")
    stepped = np.take_along_axis(p, order, -1) * np.arange(count, 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(stepped, -1), 1.0)
    found = np.empty_like(adjusted)
    np.put_along_axis(found, order, adjusted, -1)
    return found

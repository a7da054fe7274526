"""Trainings beside other trainings in one process: what accelerate leaves on a model and in the process, kept apart.

`transformers.Trainer` with mixed precision replaces `model.forward`, sets an environment variable, and keeps the
precision in a state that all later trainings of the process share. A training of ours must see none of what a user's
left, and leave nothing behind.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WRAPPED, ORIGINAL = "forward", "_original_forward"
VARIABLE = "ACCELERATE_MIXED_PRECISION"

Model = TypeVar("Model", bound="PreTrainedModel")


def copied(model: Model) -> Model:
    """A copy whose forward pass is its own: a copied wrapper would still call the model that it was made for."""
    twin = copy.deepcopy(model)
    if ORIGINAL in vars(twin):
        for name in (WRAPPED, ORIGINAL):
            vars(twin).pop(name, None)
    return twin


@contextlib.contextmanager
def own_precision(model: PreTrainedModel) -> Iterator[None]:
    """A block in which neither the model nor the process carries another training's precision; all is put back."""
    from accelerate.state import AcceleratorState

    kept = {name: vars(model)[name] for name in (WRAPPED, ORIGINAL) if name in vars(model)}
    if ORIGINAL in kept:
        _take_off(model)
    variable = os.environ.pop(VARIABLE, None)
    shared = dict(AcceleratorState._shared_state)
    AcceleratorState._shared_state.clear()
    try:
        yield
    finally:
        _take_off(model)
        vars(model).update(kept)
        AcceleratorState._shared_state.clear()
        AcceleratorState._shared_state.update(shared)
        os.environ.pop(VARIABLE, None)
        if variable is not None:
            os.environ[VARIABLE] = variable


def _take_off(model: PreTrainedModel) -> None:
    for name in (WRAPPED, ORIGINAL):
        vars(model).pop(name, None)

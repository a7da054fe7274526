"""Several processes that measure one model together, as `accelerate launch` and `torchrun` start them.

Each process makes the same plan, does every n-th part of it, and gets the results of all.
"""

from __future__ import annotations

import atexit
import functools
import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from accelerate import PartialState

Item = TypeVar("Item")


def count() -> int:
    """How many processes there are, before anything heavy is imported."""
    return int(os.environ.get("WORLD_SIZE", "1") or 1)


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return count() == 1 or int(os.environ.get("RANK", "0") or 0) == 0


def rank_and_count() -> tuple[int, int]:
    """This process's number and how many there are; joins them where that was not done yet."""
    if count() == 1:
        return 0, 1
    state = _state()
    return int(state.process_index), int(state.num_processes)


def own_part() -> tuple[int, int]:
    """Which part of what is measured this process does, of how many: all of it where the model's parameters are split.

    Split parameters are fetched from all processes at each pass, so all have to make the same passes.
    """
    return (0, 1) if sharding() else rank_and_count()


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum over all processes of tensors of one shape, on the CPU: each holds zeros where it computed nothing.

    The tensor itself where each process has computed everything (`own_part`).
    """
    if count() == 1 or sharding():
        return values
    import torch.distributed

    held = values.to(_state().device)
    torch.distributed.all_reduce(held)
    return held.cpu()


def gathered(items: dict[int, Item]) -> dict[int, Item]:
    """The items of all processes by number."""
    if count() == 1:
        return items
    import torch.distributed

    found: list[dict[int, Item]] = [{} for _ in range(count())]
    torch.distributed.all_gather_object(found, items)
    return {number: item for part in found for number, item in part.items()}


def everyone(items: list[Item]) -> list[Item]:
    """What all processes of a training have, in the order of the processes; the items themselves in one process.

    All have to call it, also those that have nothing. Tensors should be on the processor.
    """
    if not _in_training():
        return items
    import torch.distributed

    found: list[list[Item]] = [[] for _ in range(count())]
    torch.distributed.all_gather_object(found, items)
    return [item for part in found for item in part]


def averaged(values: torch.Tensor) -> torch.Tensor:
    """The mean over all processes of a training, in place; the values themselves in one process."""
    if _in_training():
        import torch.distributed

        torch.distributed.all_reduce(values)
        values /= count()
    return values


def _in_training() -> bool:
    """Whether several processes train together."""
    if count() == 1:
        return False
    import torch.distributed

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def sharding() -> str:
    """What splits the model's parameters between processes, by name; empty for nothing."""
    known = {"FSDP": "ACCELERATE_USE_FSDP", "DeepSpeed": "ACCELERATE_USE_DEEPSPEED"}
    return next((name for name, key in known.items() if os.environ.get(key, "").lower() in ("1", "true")), "")


def agreed(flag: bool) -> bool:
    """What the first process finds true: all must take the same way, or one waits for the others forever."""
    if count() == 1:
        return flag
    import torch.distributed

    said = [flag]
    rank_and_count()
    torch.distributed.broadcast_object_list(said)
    return bool(said[0])


@functools.cache
def _state() -> PartialState:
    """The library joins processors only when it is told that there is no accelerator.

    They are parted at the end: a process that ends while its connections still have threads may crash.
    """
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.accelerator.is_available())
    atexit.register(state.destroy_process_group)
    return state

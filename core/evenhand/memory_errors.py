"""How libraries say that memory ran out."""

from __future__ import annotations


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whichever device."""
    import torch

    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def memory_ran_out(error: BaseException) -> bool:
    """As `out_of_memory`, of an error that a library raised: errors of other kinds may only speak of memory."""
    return isinstance(error, MemoryError | RuntimeError) and out_of_memory(error)

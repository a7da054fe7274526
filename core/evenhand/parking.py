"""Two models in the memory of one: the weights of a model wait on the disk while another one is at work."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evenhand.progress import progress

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@contextlib.contextmanager
def parked(model: PreTrainedModel, folder: Path) -> Iterator[None]:
    """Empty the parameters of `model` while the block runs, and put them back bit by bit, whatever happens in it.

    They wait in one safetensors file in `folder`, which is removed at the end. Parameters that share memory, and
    all buffers, stay where they are. Raises OSError when the disk is full; the model is whole then.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    waiting = own_memory(model)
    file = folder / "parked.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # On the disk a transposed or sliced tensor is a contiguous one.
        with progress("Setting the model aside"):
            save_file({name: p.detach().contiguous() for name, p in waiting.items()}, file)
        places = {name: (p.device, p.stride(), p.grad) for name, p in waiting.items()}
        for p in waiting.values():
            p.grad = None
            p.data = p.data.new_empty(0)
        gc.collect()
        try:
            yield
        finally:
            with progress("Taking the model back"), safe_open(file, framework="pt") as stored:
                for name, p in waiting.items():
                    device, stride, grad = places[name]
                    whole = stored.get_tensor(name)
                    data = whole.new_empty_strided(whole.shape, stride, device=device)
                    p.data = data.copy_(whole)
                    p.grad = grad
    finally:
        file.unlink(missing_ok=True)


def own_memory(model: PreTrainedModel) -> dict[str, torch.nn.Parameter]:
    """The parameters, by name, that are ordinary dense tensors and share their memory with nothing else."""
    import torch

    tensors = [*model.parameters(), *model.buffers()]
    users = Counter(t.untyped_storage().data_ptr() for t in tensors if t.layout is torch.strided)
    return {
        name: p
        for name, p in model.named_parameters()
        if type(p) is torch.nn.Parameter
        and p.layout is torch.strided
        and p.device.type != "meta"
        and p.untyped_storage().nbytes() == p.numel() * p.element_size()
        and users[p.untyped_storage().data_ptr()] == 1
    }

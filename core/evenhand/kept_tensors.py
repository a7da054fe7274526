"""A model as it is, to be put back after a change of its weights that did not hold; only what is written is copied."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class KeptTensors:
    """Inside its `with`, each parameter or buffer is copied to the CPU before it is first written; `restore` puts all
    back: values, tensors that were added or exchanged, and settings of the configuration.

    Modules and hooks are not looked at, nor are writes past torch (`weight.numpy()[...] = ...`).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._copies: dict[int, torch.Tensor] = {}
        """By place in `_tensors`."""
        self._tensors: list[tuple[torch.Tensor, torch.Tensor]] = []
        """A tensor of the model, and what it held: the same memory."""
        self._sharing: dict[int, list[int]] = {}
        """By memory, places in `_tensors`."""
        self._parts: list[tuple[torch.nn.Module, dict[str, Any], dict[str, Any]]] = [
            (module, dict(module._parameters), dict(module._buffers)) for module in model.modules()
        ]
        self._settings = dict(vars(model.config))
        self._watch: Any = None
        held = [t for _, *parts in self._parts for part in parts for t in part.values() if t is not None]
        distinct: dict[int, torch.Tensor] = {id(t): t for t in held}
        for tensor in distinct.values():
            self._sharing.setdefault(_memory(tensor), []).append(len(self._tensors))
            self._tensors.append((tensor, tensor.data))

    def __enter__(self) -> Self:
        self._watch = _watching(self._about_to_write)
        self._watch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.__exit__(kind, error, trace)
        if error is not None:
            self.restore()

    def _about_to_write(self, written: torch.Tensor) -> None:
        for place in self._sharing.get(_memory(written), ()):
            if place not in self._copies:
                self._copies[place] = self._tensors[place][1].to("cpu", copy=True)

    def restore(self) -> None:
        """The weights, biases, buffers and settings as they were, to the bit."""
        import torch

        for module, parameters, buffers in self._parts:
            pairs: list[tuple[Any, Any]] = [(module._parameters, parameters), (module._buffers, buffers)]
            for now, kept in pairs:
                now.clear()
                now.update(kept)
        with torch.no_grad():
            for place, copy in self._copies.items():
                self._tensors[place][1].copy_(copy)
        for tensor, before in self._tensors:
            if _place(tensor) != _place(before):
                tensor.data = before
        settings = vars(self._model.config)
        settings.clear()
        settings.update(self._settings)


def _memory(tensor: torch.Tensor) -> int:
    """What tensors that share memory have in common, on every device."""
    return int(tensor.untyped_storage()._cdata)


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Where a tensor's numbers lie, and how they are read."""
    return _memory(tensor), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def _watching(about_to_write: Any) -> Any:
    """A mode of torch that tells of each tensor that an operation is about to write."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            for number, argument in enumerate(func._schema.arguments):
                if argument.alias_info is None or not argument.alias_info.is_write:
                    continue
                value = args[number] if number < len(args) else kwargs.get(argument.name)
                for tensor in value if isinstance(value, list | tuple) else [value]:
                    if isinstance(tensor, torch.Tensor):
                        about_to_write(tensor)
            return func(*args, **kwargs)

    return cast("Any", Watching)()

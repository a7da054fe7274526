"""Parameters that are split between processes (`torch.distributed.fsdp.fully_shard`): read whole, written whole.

Every function here has to be called by all processes of the training, since the parts are gathered from each.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evenhand.errors import UsageError
from evenhand.processes import sharding

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MARK = "__composable_api"
"""How attributes begin in which torch keeps what it has done to a module."""
SPLIT_ONCE: weakref.WeakSet[Any] = weakref.WeakSet()
"""Models that were split in this process: torch refuses to do so again."""


def demand_whole(model: PreTrainedModel, *, where: str) -> None:
    """Raises UsageError where FSDP would flatten the parameters or not every process has them, and for a model that was
    split before."""
    if sharding() == "FSDP" and os.environ.get("FSDP_VERSION", "1") == "1":
        raise UsageError(
            "version 1 of FSDP flattens parameters, so that none of them can be told from the others",
            where=where,
            do="accelerate launch --use_fsdp --fsdp_version 2 --fsdp_cpu_ram_efficient_loading false",
        )
    if sharding() == "FSDP" and os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "").lower() in ("1", "true"):
        raise UsageError(
            "only the first process has loaded the model, and terms read it in each before it is split",
            where=where,
            do="accelerate launch --use_fsdp --fsdp_version 2 --fsdp_cpu_ram_efficient_loading false",
        )
    if model in SPLIT_ONCE:
        raise UsageError(
            "the model was split between processes by an earlier training", where=where,
            do="save it, and load it again before it is trained further",
        )  # fmt: skip


def moving(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Copies of what moves by name, each whole."""
    for module in _split(model):
        module.reshard()
    return {
        n: (p.full_tensor() if hasattr(p, "full_tensor") else p).detach().clone()
        for n, p in model.named_parameters()
        if p.requires_grad
    }


def put_into(model: PreTrainedModel, values: Mapping[str, torch.Tensor]) -> None:
    """Give parameters whole values; each process keeps its part."""
    import torch

    for module in _split(model):
        module.reshard()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parameter.copy_(_like(parameter, values[name]))


class Form:
    """A model as it was before its parameters were split in place, so that it can be had back."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._modules: list[tuple[torch.nn.Module, type, dict[str, Any], dict[str, set[int]]]] = [
            (module, type(module), dict(module._parameters), {name: set(found) for name, found in _hooks(module)})
            for module in (model.modules() if sharding() == "FSDP" else ())
        ]

    def restore(self) -> None:
        """Whole parameters in every process, and no hook that the training has put in; nothing without a split."""
        split = _split(self.model)
        if not split:
            return
        SPLIT_ONCE.add(self.model)
        for module in split:
            module.reshard()
        done: set[int] = set()
        for module, _, parameters, hooks in self._modules:
            for name, parameter in parameters.items():
                if parameter is not None and id(parameter) not in done:  # one that is tied comes twice
                    now: Any = module._parameters[name]
                    parameter.data = (now.full_tensor() if hasattr(now, "full_tensor") else now).detach()
                    done.add(id(parameter))
            for name in [name for name in vars(module) if name.startswith(MARK)]:
                delattr(module, name)
            for name, found in _hooks(module):
                for key in [key for key in found if key not in hooks.get(name, ())]:
                    del found[key]
        for module, kind, parameters, _ in self._modules:
            module._parameters.update(parameters)
            module.__class__ = kind


def _hooks(module: torch.nn.Module) -> list[tuple[str, dict[int, Any]]]:
    return [(name, found) for name, found in vars(module).items() if "_hooks" in name and isinstance(found, dict)]


def _like(parameter: Any, value: torch.Tensor) -> torch.Tensor:
    """A whole value, split as a parameter is."""
    if not hasattr(parameter, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def _split(model: PreTrainedModel) -> list[Any]:
    """The modules whose parameters are split."""
    if not sharding():
        return []
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]

"""Bottleneck adapters of the library `adapters` in a model: added, scaled, frozen, stored, removed.

An adapter computes `h + scaling * W_up f(W_down LN(h))`. `W_up` begins at zero, so an untrained one changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from evenhand_adapterfusion.base_digest import KEY, base_digest, bases, body_of, demand_base
from evenhand_adapterfusion.preparation import prepare, prepared, reads_norms, release, relink
from evenhand_adapterfusion.saved_files import (
    CONFIG,
    WEIGHTS,
    demand_bottleneck,
    fitting,
    or_undone,
    read_config,
    read_tensors,
)
from evenhand_sdk import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Placement = Literal["pfeiffer", "houlsby", "parallel"]
Activation = Literal["gelu", "relu", "swish"]
NAME: Final = r"^[A-Za-z0-9_-]+$"
DUPLICATE: Final = "adapter_norm_before"
"""The library registers the adapter's own norm twice, here and as the first part of `adapter_down`."""


def adapter_config(placement: Placement, reduction: float, activation: Activation) -> Any:
    """The library's configuration: where adapters go, the width H / reduction, and a zero `W_up`."""
    from adapters import DoubleSeqBnConfig, ParBnConfig, SeqBnConfig

    kind = {"pfeiffer": SeqBnConfig, "houlsby": DoubleSeqBnConfig, "parallel": ParBnConfig}[placement]
    return kind(
        reduction_factor=float(reduction),
        non_linearity=activation,
        ln_before=True,
        init_weights="mam_adapter",
        scaling=1.0,
    )


def add(model: PreTrainedModel, name: str, config: Any, seed: int) -> None:
    """Add an untrained adapter and switch it on, on top of those that are active.

    Where the library would put norms of the model before it, it reads what comes into these instead: so it is the same
    adapter for whoever has the library alone.
    """
    check_name(model, name)
    record = prepare(model)
    if reads_norms(model, config):
        config = config.replace(original_ln_before=False)
    with seeded(seed):
        model.add_adapter(name, config=config)
    settle(model, modules(model, name))
    record.before[name] = model.active_adapters
    stack(model, name)


def stack(model: PreTrainedModel, name: str) -> None:
    """Switch an adapter on, on top of those that are active.

    Raises UsageError, and removes the adapter, where the library would add the outputs up wrongly.
    """
    from adapters import Stack

    now = model.active_adapters
    below = [] if now is None else list(now.children) if isinstance(now, Stack) else [now]
    names = [name, *(now.flatten() if now is not None else ())]
    if len(names) > 1 and any(model.adapters_config.get(n)["is_parallel"] for n in names):
        remove(model, name)
        raise UsageError(
            "a parallel adapter cannot be active together with another adapter",
            known=f"adapters: {', '.join(sorted(names))}",
            do='use placement = "pfeiffer" or "houlsby" for all of them',
        )
    model.set_active_adapters(Stack(*below, name))


def alone(model: PreTrainedModel, name: str) -> None:
    """Switch on this adapter and no other."""
    model.set_active_adapters(name)


def switch_back(model: PreTrainedModel, name: str) -> None:
    """After `alone`: what was active when the adapter came is on again, with the adapter on top."""
    model.set_active_adapters(prepare(model).before[name])
    stack(model, name)


def remove(model: PreTrainedModel, name: str) -> None:
    """Delete an adapter; with the last one every trace of the library goes, too.

    Raises UsageError while a fusion still uses the adapter.
    """
    users = [f for f in model.adapters_config.fusions if name in model.adapters_config.get_fusion(f)[1]]
    if users:
        raise UsageError(f"the fusion {users[0]!r} still uses the adapter {name!r}; take the fusion back first")
    model.set_active_adapters(without(model.active_adapters, name))
    relink(model)
    model.delete_adapter(name)
    prepare(model).before.pop(name, None)
    prepare(model).trained_on.pop(name, None)
    if not len(model.adapters_config):
        release(model)


def without(setup: Any, name: str) -> Any:
    """A stack of adapters without one of them; None when nothing is left."""
    from adapters import Stack

    left = [child for child in setup or () if child != name]
    return Stack(*left) if left else None


def scale(model: PreTrainedModel, name: str, scaling: float) -> None:
    """Set the factor on an adapter's output, in its modules and in the configuration that is saved."""
    for module in modules(model, name):
        module.scaling = float(scaling)
    known = model.adapters_config
    config = known.get(name).replace(scaling=float(scaling))
    del known.adapters[name]
    known.add(name, config=config)


def trained_on(model: PreTrainedModel, name: str) -> dict[str, str] | None:
    """The digests of what an adapter or a fusion was trained on; of the model as it is while nothing else was said."""
    known = prepare(model).trained_on
    return known[name] if name in known else base_digest(model)


def say_trained_on(model: PreTrainedModel, name: str, facts: Mapping[str, Any]) -> None:
    """Keep on the model which base the facts beside an adapter or a fusion tell; steps may yet change the model."""
    prepare(model).trained_on[name] = facts.get(KEY)


def save(model: PreTrainedModel, name: str, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the adapter in the library's own format, as safetensors."""
    told = {**facts, **bases(model, trained_on(model, name))}
    model.save_adapter(str(folder), name, with_head=False, use_safetensors=True, meta_dict=told)


def load(model: PreTrainedModel, name: str, folder: Path) -> None:
    """Read an adapter that `save` or the library wrote and switch it on, on top of those that are active, frozen.

    Raises UsageError for one that is damaged, of another kind or does not fit the model, which is then as it was.
    """
    if not (folder / CONFIG).is_file():
        raise UsageError("there is no adapter in this folder", where=str(folder))
    facts = read_config(folder / CONFIG)
    demand_bottleneck(facts["config"], folder)
    stored = read_tensors(folder / WEIGHTS)
    demand_base(model, facts, f"the adapter {name!r}", folder)
    check_name(model, name)
    with or_undone(lambda: discard(model, name), folder):
        _build(model, name, facts, folder, stored)
        say_trained_on(model, name, facts)


def _build(
    model: PreTrainedModel, name: str, facts: Mapping[str, Any], folder: Path, stored: Mapping[str, torch.Tensor]
) -> None:
    from adapters.loading import AdapterLoader

    record, loader = prepare(model), AdapterLoader(model)
    config = loader.weights_helper.load_weights_config(str(folder))["config"]  # older names are today's in it
    with seeded(0):
        model.add_adapter(name, config=config)
    record.before[name] = model.active_adapters
    if "evenhand" not in facts and reads_norms(model, model.adapters_config.get(name)):  # older ones of ours had none
        raise UsageError(
            "this adapter reads what norms of the model made (`original_ln_before`)",
            where=str(folder),
            known=f"in models of the type {model.config.model_type!r} the library takes those of the last layer in all "
            "layers",
            do="train it with original_ln_before=False, or use the library `adapters` itself",
        )
    parts = modules(model, name)
    if not parts:
        raise UsageError("this adapter has no part in any layer of this model", where=str(folder))
    settle(model, parts)
    today = loader.rename_func(facts["name"], name)
    renamed = {today(key): tensor for key, tensor in stored.items() if DUPLICATE not in key}
    fill(model, parts, renamed, f"adapters.{name}.", folder)
    freeze(parts)
    stack(model, name)


def fill(
    model: PreTrainedModel, parts: Iterable[Any], stored: Mapping[str, torch.Tensor], own: str, folder: Path
) -> None:
    """Write saved tensors into new modules, all and everywhere; UsageError where they do not fit."""
    body = body_of(model)
    names = set(parameter_names(body, parts))
    wanted = {name: p.shape for name, p in body.named_parameters() if name in names}
    put(body, fitting(stored, wanted, own, folder))


def discard(model: PreTrainedModel, name: str) -> None:
    """Take back an adapter whose building may have stopped anywhere."""
    if prepared(model) is None:
        return
    if name in model.adapters_config.adapters:
        remove(model, name)
    elif not len(model.adapters_config):
        release(model)


# --------------------------------------------------------------------------------------------------- modules
def layers(model: PreTrainedModel) -> Iterator[Any]:
    """The places where adapters and fusions sit, from the first layer of the model to the last."""
    from adapters.methods.bottleneck import BottleneckLayer

    return (module for module in model.modules() if isinstance(module, BottleneckLayer))


def modules(model: PreTrainedModel, name: str) -> list[Any]:
    """The modules of one adapter, a layer's after another's."""
    return [layer.adapters[name] for layer in layers(model) if name in layer.adapters]


def settle(model: PreTrainedModel, parts: Iterable[Any]) -> None:
    """Give new modules the model's device, number format and mode: the library makes them in float32."""
    like = model.get_input_embeddings().weight
    for part in parts:
        if hasattr(part, DUPLICATE):
            delattr(part, DUPLICATE)  # safetensors refuses a tensor that is stored under two names
        part.to(device=like.device, dtype=like.dtype).train(model.training)
        part.evenhand_part = True  # steps that let all weights move leave it alone


def freeze(parts: Iterable[Any]) -> None:
    """Later trainings leave these modules alone, also those that move everything else."""
    for part in parts:
        part.requires_grad_(False)


def parameter_names(model: PreTrainedModel, parts: Iterable[Any]) -> list[str]:
    """The names, in the model, of all parameters of some of its modules."""
    own = {id(p) for part in parts for p in part.parameters()}
    return [name for name, p in model.named_parameters() if id(p) in own]


def tensors(model: PreTrainedModel, parts: Iterable[Any]) -> dict[str, torch.Tensor]:
    """A copy of all parameters of some modules, by their names in the model."""
    names = set(parameter_names(model, parts))
    return {name: p.detach().clone() for name, p in model.named_parameters() if name in names}


def put(model: PreTrainedModel, stored: Mapping[str, torch.Tensor]) -> None:
    """Write tensors into the parameters of their names."""
    import torch

    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in stored:
                p.copy_(stored[name])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers from a seed; the global state is the same afterwards as before."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def check_name(model: PreTrainedModel, name: str) -> None:
    """Raises UsageError when the model cannot have an adapter or a fusion of this name."""
    import torch

    if not re.fullmatch(NAME, name):
        raise UsageError(
            f"no adapter can be called {name!r}",
            known="a name has the letters A to Z and a to z, digits, - and _",
            do="set another `id` or `name`",
        )
    taken = model.adapters_config if prepared(model) is not None else None
    if taken is not None and (name in taken.adapters or name in taken.fusions):
        raise UsageError(f"the model already has an adapter {name!r}", do="give this step another `id` or `name`")
    if hasattr(torch.nn.ModuleDict(), name):
        raise UsageError(f"{name!r} is a word of torch, no adapter can be called so", do="set another `id` or `name`")

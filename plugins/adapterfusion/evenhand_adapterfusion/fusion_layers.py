"""Fusion layers of the library `adapters` in a model: added, regularised, scaled, stored, removed.

In every layer, with z_n the output of adapter n before the residual is added,

    alpha = softmax_n( (Q h) . (K z_n) )         out = h + sum_n alpha_n V z_n

V begins at the identity (with 1e-6 beside the diagonal). It has no bias, so scaling V scales the fused change.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand_adapterfusion import bottleneck
from evenhand_adapterfusion.base_digest import bases, demand_base
from evenhand_adapterfusion.preparation import prepare, prepared, relink
from evenhand_adapterfusion.saved_files import FUSION_CONFIG, FUSION_WEIGHTS, or_undone, read_config, read_tensors
from evenhand_sdk import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def add(model: PreTrainedModel, name: str, adapters: Sequence[str], seed: int) -> None:
    """Add an untrained fusion of adapters that the model has, freeze them, and switch the fusion on."""
    from adapters import DynamicAdapterFusionConfig, Fuse

    check(model, name, adapters)
    with bottleneck.seeded(seed):
        model.add_adapter_fusion(Fuse(*adapters, name=name), config=DynamicAdapterFusionConfig())
    settle(model, name)
    switch_on(model, name)


def settle(model: PreTrainedModel, name: str) -> None:
    """As `bottleneck.settle`, and frozen fusions as fast as others.

    The library stacks the adapters' outputs and permutes them. torch multiplies a permuted tensor by a frozen
    matrix token by token, twenty times slower than in one product.
    """
    bottleneck.settle(model, modules(model, name))
    for module in modules(model, name):
        module.register_forward_pre_hook(_contiguous)


def _contiguous(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    query, key, _, *rest = inputs  # keys and values are the same tensor
    key = key.contiguous()
    return (query, key, key, *rest)


def switch_on(model: PreTrainedModel, name: str) -> None:
    """Freeze the fused adapters and put the fusion in their place; other active ones stay, before it."""
    from adapters import Fuse, Stack

    from evenhand_adapterfusion import folded_fusion

    record, names = prepare(model), members(model, name)
    for layer in bottleneck.layers(model):
        if name in layer.adapter_fusion_layer:
            folded_fusion.install(layer)
    for adapter in names:
        bottleneck.freeze(bottleneck.modules(model, adapter))
    now = model.active_adapters
    record.before[name] = now
    children = [] if now is None else list(now.children) if isinstance(now, Stack) else [now]
    kept = [c for c in children if not ({c} if isinstance(c, str) else c.flatten()) & set(names)]
    model.set_active_adapters(Stack(*kept, Fuse(*names, name=name)))


def check(model: PreTrainedModel, name: str, adapters: Sequence[str]) -> None:
    """Raises UsageError when the model lacks one of the adapters, when they cannot be fused, or are already."""
    bottleneck.check_name(model, name)
    known = model.adapters_config if prepared(model) is not None else {}
    for adapter in adapters:
        if adapter not in known:
            raise UsageError(
                f"the model has no adapter {adapter!r} to fuse",
                known=f"adapters: {', '.join(known) or 'none'}",
                do="a step that is only referred to does not act: set `active = true` for it",
            )
    places = {(c["is_parallel"], c["mh_adapter"], c["output_adapter"]) for c in map(known.get, adapters)}
    if len(places) > 1 or next(iter(places))[0]:
        raise UsageError(
            'adapters can be fused when all have the placement "pfeiffer", or all "houlsby"',
            known=f"to be fused: {', '.join(adapters)}",
        )
    check_free(model, name, adapters)


def check_free(model: PreTrainedModel, name: str, adapters: Sequence[str]) -> None:
    """Raises UsageError when another fusion or sum has some of the adapters: the new one would displace it."""
    if prepared(model) is None:
        return
    for fusion in model.adapters_config.fusions:
        if shared := sorted(set(members(model, fusion)) & set(adapters)):
            raise UsageError(
                f"adapter {shared[0]!r} is in {fusion!r} already, which {name!r} would switch off",
                known=f"{fusion}: {', '.join(members(model, fusion))}",
                do="take one fusion or one sum of the same adapters",
            )


def remove(model: PreTrainedModel, name: str) -> None:
    """Delete a fusion and switch on again what was active before it; its adapters stay."""
    _delete(model, name)
    model.set_active_adapters(prepare(model).before.pop(name))


def _delete(model: PreTrainedModel, name: str) -> None:
    from evenhand_adapterfusion import folded_fusion

    relink(model)
    model.delete_adapter_fusion(name)
    for layer in bottleneck.layers(model):
        folded_fusion.uninstall(layer)
    model.adapters_config.fusion_name_map.pop(name, None)
    prepare(model).trained_on.pop(name, None)


def members(model: PreTrainedModel, name: str) -> list[str]:
    """The adapters that a fusion attends to, in its order."""
    return list(model.adapters_config.get_fusion(name)[1])


def modules(model: PreTrainedModel, name: str) -> list[Any]:
    """The modules of one fusion, a layer's after another's; none when the model has no such fusion."""
    if prepared(model) is None:
        return []
    return [
        layer.adapter_fusion_layer[name] for layer in bottleneck.layers(model) if name in layer.adapter_fusion_layer
    ]


def value_distance(model: PreTrainedModel, name: str) -> torch.Tensor:
    """The squared Frobenius distance between V [H, H] and the identity, summed over all layers: a scalar.

    It is 0 for a model without this fusion.
    """
    import torch

    values = [module.value.weight.float() for module in modules(model, name)]
    distances = [(v - torch.eye(len(v), device=v.device)).pow(2).sum() for v in values]
    return sum(distances, start=torch.zeros((), device=model.device))


def scale(model: PreTrainedModel, name: str, strength: float) -> None:
    """Multiply every V, and with it the fused change; at 0 the outputs are the base model's."""
    import torch

    with torch.no_grad():
        for module in modules(model, name):
            module.value.weight.mul_(strength)


def save(model: PreTrainedModel, name: str, folder: Path) -> None:
    """Write the fusion in the library's own format, as safetensors; the steps of its adapters write those."""
    told = bases(model, bottleneck.trained_on(model, name))
    model.save_adapter_fusion(str(folder), name, use_safetensors=True, meta_dict=told)


def load(model: PreTrainedModel, name: str, adapters: Sequence[str], folder: Path) -> None:
    """Read a fusion that `save` wrote and switch it on; it is frozen. Its adapters must be there.

    Raises UsageError for one that is damaged or does not fit the model, which is then as it was.
    """
    from adapters import Fuse

    if not (folder / FUSION_CONFIG).is_file():
        raise UsageError("there is no fusion in this folder", where=str(folder))
    facts = read_config(folder / FUSION_CONFIG)
    stored = read_tensors(folder / FUSION_WEIGHTS)
    demand_base(model, facts, f"the fusion {name!r}", folder)
    check(model, name, adapters)
    old, new = (f"adapter_fusion_layer.{n}." for n in (facts["name"], name))
    with or_undone(lambda: discard(model, name), folder):
        with bottleneck.seeded(0):
            model.add_adapter_fusion(Fuse(*adapters, name=name), config=facts["config"])
        settle(model, name)
        renamed = {key.replace(old, new): tensor for key, tensor in stored.items() if old in key}
        bottleneck.fill(model, modules(model, name), renamed, new, folder)
        bottleneck.freeze(modules(model, name))
        switch_on(model, name)
        bottleneck.say_trained_on(model, name, facts)


def discard(model: PreTrainedModel, name: str) -> None:
    """Take back a fusion whose building may have stopped anywhere."""
    record = prepare(model)
    active = record.before.pop(name, model.active_adapters)
    _delete(model, name)
    model.set_active_adapters(active)

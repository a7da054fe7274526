"""Make a model ready for adapters, and take back every trace of it.

`adapters.init` replaces the classes of modules, wraps some of them, and adds children, attributes and hooks.
Wrapped layers come back at once. What else it changed is recorded as the difference between before and after,
so that `release` can undo exactly that and leave alone whatever other steps did to the model. The record lies on
the model itself, so a deep copy carries its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from evenhand_adapterfusion.saved_interface import savable_anywhere
from evenhand_sdk import UsageError
from evenhand_sdk.request_settings import offer, withdraw

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

RECORD: Final = "_evenhand_adapters"
"""The attribute of the model that holds its `Preparation`."""
SETTING: Final = "adapters"
"""What a request sets in its `meta` to be answered with some of the adapters alone."""
HOOKED: Final = ("llama", "mistral")
"""Model types that get their adapters by hooks. The library's own classes for them hand the key-value cache on
under a name that transformers no longer uses: text would be generated without a past."""
TABLES: Final = (
    "_parameters",
    "_buffers",
    "_modules",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)
"""Dictionaries of a module in which single entries are compared."""

LATE: Final = "_layer_idx"
"""An attribute that the library sets on modules of its own classes when the first adapter comes."""


@dataclass
class Difference:
    """What preparing changed in one module that was there before."""

    module: nn.Module
    kind: type
    """Its class before."""
    added: dict[str, list[Any]] = field(default_factory=dict)
    """Table -> new keys; the table "" is the module's own attributes."""
    replaced: dict[str, dict[Any, Any]] = field(default_factory=dict)
    """Table -> key -> the value before."""


@dataclass
class Preparation:
    """What has to be undone, and which adapters were active before a step changed that."""

    differences: list[Difference] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    """Adapter or fusion -> the composition that was active when it came."""
    trained_on: dict[str, dict[str, str] | None] = field(default_factory=dict)
    """Adapter or fusion whose training is over -> the digests of its base then; None where they are not known."""


def prepared(model: PreTrainedModel) -> Preparation | None:
    """The record of a prepared model, None for any other."""
    return getattr(model, RECORD, None)


def prepare(model: PreTrainedModel) -> Preparation:
    """Make the model ready for adapters if it is not; its outputs stay bit-identical.

    Raises UsageError for an architecture that the library does not know, or whose key-value cache it loses, also
    where somebody else has prepared the model, and for quantised weights that it cannot do with.
    """
    import adapters
    from adapters.model_mixin import ModelAdaptersMixin

    if (found := prepared(model)) is not None:
        relink(model)
        return found
    logging.getLogger("adapters.model_mixin").addFilter(_alarming)
    record = Preparation()
    if not isinstance(model, ModelAdaptersMixin):  # somebody else may have prepared it: then nothing is ours to undo
        seen = _snapshot(model)
        if model._tied_weights_keys is not None:
            model._tied_weights_keys = list(model._tied_weights_keys)  # the library would extend the list of the class
        try:
            interface = _interface(model)
            adapters.init(model, interface=None if interface is None else savable_anywhere(interface))
        except (ValueError, TypeError) as error:
            _undo(_differences(seen))
            raise (_quantised(model) or _unknown(model)) from error
        _unwrap(seen)
        _free_hooks(model)
        record.differences = _differences(seen)
        model.train(model.training)
        try:
            useless = not isinstance(model, ModelAdaptersMixin) or _loses_cache(model)
        except Exception as error:
            _undo(record.differences)
            raise (_quantised(model) or error) from error
        if useless:
            _undo(record.differences)
            raise _unknown(model)
    elif _loses_cache(model):
        raise UsageError(
            "this model was prepared by `adapters.init` and loses its key-value cache: text would forget its past",
            where=f"a model of the type {model.config.model_type!r}",
            do="load the model anew and leave out `adapters.init`; it is prepared here in another way",
        )
    setattr(model, RECORD, record)
    offer(model, SETTING, _for_a_request)
    return record


def relink(model: PreTrainedModel) -> None:
    """Give the library's layers their pool of prefixes back: `save_pretrained` takes it away for good, and without it
    no adapter can be deleted."""
    from adapters.methods.prefix_tuning import PrefixTuningLayer

    for module in model.modules():
        if isinstance(module, PrefixTuningLayer):
            module.set_pool(model.base_model.prefix_tuning)


def _for_a_request(model: PreTrainedModel, names: Any) -> AbstractContextManager[None]:
    """The block in which the adapters that a request names are on, and all others off."""
    from evenhand_adapterfusion.switching import using

    if not (isinstance(names, str) or (isinstance(names, list | tuple) and all(isinstance(n, str) for n in names))):
        raise UsageError(
            f"{names!r} names no adapters",
            where=f"meta {SETTING!r} of a request",
            known="a name, or a list of names; an empty list is the model without adapters",
        )
    return using(model, names)


def _alarming(record: logging.LogRecord) -> bool:
    """The library warns whenever all adapters are off, for a moment or for a request: here that is on purpose."""
    return "none are activated" not in record.getMessage()


def release(model: PreTrainedModel) -> None:
    """Undo `prepare`: classes, modules, attributes and hooks are as they were, weights are those of now."""
    record = prepared(model)
    if record is not None:
        delattr(model, RECORD)
        withdraw(model, SETTING)
        _undo(record.differences)
        if "_original_forward" in vars(model):
            # A training in mixed precision has wrapped the forward pass of the class that is now taken back.
            del vars(model)["_original_forward"], vars(model)["forward"]


def _interface(model: PreTrainedModel) -> Any:
    """How to reach the layers by name, for families that get their adapters by hooks; None: by classes."""
    from adapters import AdapterModelInterface
    from adapters.wrappers.interfaces import get_adapter_interface

    if model.config.model_type in HOOKED:
        return AdapterModelInterface(
            adapter_methods=["bottleneck"],
            model_embeddings="embed_tokens",
            model_layers="layers",
            layer_self_attn="self_attn",
            layer_cross_attn=None,
            attn_q_proj="q_proj",
            attn_k_proj="k_proj",
            attn_v_proj="v_proj",
            attn_o_proj="o_proj",
            layer_intermediate_proj="mlp.up_proj",
            layer_output_proj="mlp.down_proj",
            layer_pre_self_attn="input_layernorm",
            layer_pre_ffn="post_attention_layernorm",
        )
    known = get_adapter_interface(model.config.model_type)
    if known is None or "bottleneck" not in known.adapter_methods:
        return None
    return replace(known, adapter_methods=["bottleneck"], layer_ln_1=None, layer_ln_2=None)  # see reads_norms


def reads_norms(model: PreTrainedModel, config: Mapping[str, Any]) -> bool:
    """Whether the library would hand an adapter what norms of the model's layers made, as in Gemma 3.

    It takes those of the last layer in all layers, and in a deep copy those of the original: here no adapter has them.
    """
    from adapters.wrappers.interfaces import get_adapter_interface

    known = get_adapter_interface(model.config.model_type)
    if known is None or config["is_parallel"] or not config["original_ln_before"]:
        return False
    return bool((config["mh_adapter"] and known.layer_ln_1) or (config["output_adapter"] and known.layer_ln_2))


def _unwrap(seen: list[tuple[nn.Module, type, dict[str, dict[Any, Any]]]]) -> None:
    """Layers that the library has wrapped for its own LoRA are the model's own again, with what steps keep on them.

    Bottleneck adapters sit elsewhere; a wrapper would hide matrices that steps read, train and put hooks on.
    """
    from adapters.methods.lora import LoRALayer

    for module, _, tables in seen:
        for name, own in tables["_modules"].items():
            if isinstance(module._modules.get(name), LoRALayer):
                module._modules[name] = own


def _free_hooks(model: PreTrainedModel) -> None:
    """The library's hooks look for layer norms through the original model, also in a deep copy; we use none."""
    from functools import partial

    from adapters.methods.bottleneck import hook_fn

    for module in model.modules():
        for key, hook in module._forward_hooks.items():
            if isinstance(hook, partial) and hook.func is hook_fn:
                module._forward_hooks[key] = partial(hook_fn, hook.args[0], None)


def _loses_cache(model: PreTrainedModel) -> bool:
    """True for a generating model whose key-value cache stays empty."""
    import torch

    if not model.can_generate() or model.config.is_encoder_decoder:
        return False
    ids = torch.zeros((1, 2), dtype=torch.long, device=model.device)
    with torch.no_grad():
        cache = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True).past_key_values
    return cache is None or int(cache.get_seq_length()) != 2


def _quantised(model: PreTrainedModel) -> UsageError | None:
    """The error for a model with weights of a form that the library stumbled over; None where all are plain."""
    for path, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if callable(weight) or (weight is not None and not weight.is_floating_point()):
            return UsageError(
                f"the weights of {path} are quantised, in a form that takes no adapters",
                known=f"they are kept by {type(module).__module__}.{type(module).__name__}",
                do="load the model without quantisation",
            )
    return None


def _unknown(model: PreTrainedModel) -> UsageError:
    return UsageError(
        f"models of the type {model.config.model_type!r} cannot take adapters",
        known="the library `adapters` can do llama, mistral, qwen2, gemma3_text, gpt2, bert, roberta and others",
        do="take another model, or another architecture step",
    )


# ------------------------------------------------------------------------------------------------ differences
def _snapshot(model: nn.Module) -> list[tuple[nn.Module, type, dict[str, dict[Any, Any]]]]:
    """Every module with its class, its attributes and the entries of its tables."""
    return [
        (m, type(m), {"": dict(vars(m)), **{t: dict(vars(m)[t]) for t in TABLES if t in vars(m)}})
        for m in model.modules()
    ]


def _differences(seen: list[tuple[nn.Module, type, dict[str, dict[Any, Any]]]]) -> list[Difference]:
    found = []
    for module, kind, tables in seen:
        change = Difference(module, kind)
        for name, before in tables.items():
            now = vars(module)[name] if name else vars(module)
            if added := [key for key in now if key not in before]:
                change.added[name] = added
            if replaced := {k: v for k, v in before.items() if k in now and now[k] is not v}:
                change.replaced[name] = replaced
        if change.added or change.replaced or type(module) is not kind:
            found.append(change)
    return found


def _undo(differences: list[Difference]) -> None:
    for change in differences:
        module = change.module
        if module.__class__ is not change.kind:
            module.__class__ = change.kind
            vars(module).pop(LATE, None)
        for name, keys in change.added.items():
            table = vars(module)[name] if name else vars(module)
            for key in keys:
                table.pop(key, None)
        for name, values in change.replaced.items():
            table = vars(module)[name] if name else vars(module)
            table.update(values)

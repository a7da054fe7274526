"""What kind of language model a folder holds, from its configuration alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evenhand.errors import UsageError, WrongModelKind
from evenhand.folder_names import any_folder_name
from evenhand.peft_wrapping import unwrapped
from evenhand.quantised import demand_unquantised
from evenhand.resolution import ResolvedModel
from evenhand.shelf import ModelKind
from evenhand.tokenizer_loading import demand_tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def checked_kind(
    resolved: ResolvedModel, *, kind: ModelKind | None = None, trust_remote_code: bool = False
) -> ModelKind:
    """Which kind of model a resolved folder holds, from its configuration alone; raises as `load` does for it.

    A folder without a tokenizer is refused, too.
    """
    config = configuration_of(resolved, trust_remote_code=trust_remote_code)
    found = demanded_kind(kind, config, f"model {resolved.name!r}")
    demand_tokenizer(resolved.folder, where=f"model {resolved.name!r}")
    return found


def demanded_kind(kind: ModelKind | None, config: PretrainedConfig, where: str) -> ModelKind:
    """The kind that a configuration describes. Raises WrongModelKind where it is not the one that was asked for."""
    found = kind_of(config, where=where)
    if kind is not None and kind != found:
        raise WrongModelKind(
            f"a {kind} language model is needed, and this is a {found} one",
            where=where,
            known=f"its configuration names {_architectures(config)}",
            do=f"name a {kind} model, or take out what needs one",
        )
    return found


def kind_of_model(model: Any) -> ModelKind:
    """The kind of a model in memory, as `kind_of` finds it.

    Where the configuration names no architecture, as that of a model that was made from one, its own class of
    transformers stands for it.
    """
    own = type(unwrapped(model))
    made = own.__name__ if own.__module__.startswith("transformers.models.") else ""
    return kind_of(model.config, where=type(model).__name__, made=made)


def kind_of(config: PretrainedConfig, *, where: str = "model", made: str = "") -> ModelKind:
    """Whether a configuration describes a causal or a masked language model.

    The architecture that it names decides, else `made`, the class of what was made of it; a bare body (`BertModel`) or
    none is judged by the family. Raises WrongModelKind for classifiers, encoder-decoders and other models without such
    a head.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    families = {"causal": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, "masked": MODEL_FOR_MASKED_LM_MAPPING_NAMES}
    classes = {kind: set(_flat(mapping.values())) for kind, mapping in families.items()}
    names = list(config.architectures or ([made] if made else []))
    for name in names:
        if name in classes["masked"] or name.endswith("ForMaskedLM"):
            return "masked"
        if name in classes["causal"] or name.endswith(("ForCausalLM", "LMHeadModel")):
            return "causal"
    bare = not names or any(name.endswith(("Model", "ForPreTraining")) for name in names)
    if bare and not getattr(config, "is_encoder_decoder", False):
        if config.model_type in families["masked"] and not getattr(config, "is_decoder", False):
            return "masked"
        if config.model_type in families["causal"]:
            return "causal"
    raise WrongModelKind(
        "this is neither a causal nor a masked language model",
        where=where,
        known=f"its class is {made}"
        if made and not config.architectures
        else f"its configuration names {_architectures(config)}",
        do="name a model whose class ends in ForCausalLM or ForMaskedLM",
    )


def configuration_of(resolved: ResolvedModel, *, trust_remote_code: bool) -> PretrainedConfig:
    """The configuration of a resolved folder.

    Raises UsageError for one that cannot be understood, wants own code, or says that the weights are quantised.
    """
    import transformers
    from transformers import CONFIG_MAPPING, AutoConfig

    path = resolved.folder / "config.json"
    where = f"model {resolved.name!r}"
    try:
        fields: Mapping[str, Any] = dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise UsageError("this is no model configuration", where=str(path), known=str(error)) from error
    demand_unquantised(fields, path=path, where=where)
    family = fields.get("model_type")
    if not trust_remote_code and family not in CONFIG_MAPPING:
        if "auto_map" in fields:
            raise UsageError(
                "this model wants to run Python code of its own, which is not allowed",
                where=where,
                known=f"{path} points to {', '.join(sorted(set(_flat(fields['auto_map'].values()))))}",
                do="read that code, and set trust_remote_code = true under [model] if you trust it",
            )
        raise UsageError(
            f"transformers {transformers.__version__} does not know the model type {family!r}",
            where=where,
            do="take another model, or another version of transformers",
        )
    with any_folder_name(trust_remote_code=trust_remote_code):
        config: PretrainedConfig = AutoConfig.from_pretrained(
            str(resolved.folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
    return config


def _architectures(config: PretrainedConfig) -> str:
    return ", ".join(config.architectures or ()) or f"no class, and the model type {config.model_type!r}"


def _flat(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif value is not None:
            yield from _flat(value)

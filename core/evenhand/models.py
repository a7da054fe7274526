"""Load causal and masked language models and their tokenizers, from safetensors only.

loaded = load(resolve("smollm2-135m-instruct"))
loaded.model, loaded.tokenizer, loaded.info.tokenizer_fingerprint
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from evenhand import devices
from evenhand.body_conversion import UNTRAINED
from evenhand.cache import COMPLETE, STAMP, damage, digest_of, digests_of, sha256_file
from evenhand.errors import DigestMismatch, UsageError, WrongModelKind
from evenhand.folder_names import any_folder_name
from evenhand.near_match import did_you_mean
from evenhand.progress import progress
from evenhand.resolution import ResolvedModel, Source, resolve
from evenhand.shelf import ModelKind, list_shelf
from evenhand.tokenizer_identity import adds_bos, tokenizer_fingerprint
from evenhand.tokenizer_loading import demand_tokenizer, load_tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "LoadedModel",
    "ModelInfo",
    "ModelKind",
    "ResolvedModel",
    "adds_bos",
    "checked_kind",
    "kind_of",
    "list_shelf",
    "load",
    "model_digest",
    "note_moved",
    "resolve",
    "tokenizer_fingerprint",
    "untrained_head",
]

Dtype = Literal["auto", "float32", "bfloat16"]
_IDENTITY_FILES = (".safetensors", ".json", ".txt", ".model", ".jinja", ".py")


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The facts about a loaded model that a manifest, a table and a card state."""

    name: str
    display_name: str
    kind: ModelKind
    folder: Path
    source: Source
    licence: str | None
    origin: Mapping[str, Any]
    """What makes it reproducible: wheel and digests, hub id and revision, or how it was made."""
    digest: str
    """SHA-256 over weights, configuration and tokenizer files; see `model_digest`."""
    tokenizer_fingerprint: str
    adds_bos: bool
    parameters: int
    """Number of parameters; tied ones count once."""
    dtype: str


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in evaluation mode, its tokenizer, and the facts about both."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    info: ModelInfo


def load(
    resolved: ResolvedModel,
    *,
    kind: ModelKind | None = None,
    dtype: Dtype = "auto",
    device: str = "cpu",
    trust_remote_code: bool = False,
    attention: str | None = None,
) -> LoadedModel:
    """Load model and tokenizer from a resolved folder, without asking the network.

    `dtype` "auto" means float32 weights. `attention` is the name of an attention implementation (`eager`
    returns attention weights); `device` "auto" is CUDA where there is one. A tokenizer without a padding token pads
    with its end-of-sequence token.
    Raises WrongModelKind when the model is not of the asked kind or has no language-model head, UsageError
    when it needs its own code and that was not allowed, its files cannot be understood, or the format or device is not
    there, DigestMismatch when files are damaged.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    where = f"model {resolved.name!r}"
    if dtype not in get_args(Dtype):
        near, known = did_you_mean(dtype, get_args(Dtype)), ", ".join(get_args(Dtype))
        raise UsageError(f"there is no number format {dtype!r}{near}", where=where, known=f"known: {known}")
    folder, device = str(resolved.folder), devices.chosen(device)
    quiet = any_folder_name(trust_remote_code=trust_remote_code)
    with progress(f"Loading {resolved.display_name}"), own_bars_off(), quiet:
        config = _configuration(resolved, trust_remote_code=trust_remote_code)
        found = _demanded(kind, config, where)
        _check_weights(resolved.folder)
        tokenizer: Any = load_tokenizer(resolved.folder, where=where, trust_remote_code=trust_remote_code)
        model_class: Any = AutoModelForCausalLM if found == "causal" else AutoModelForMaskedLM
        options = {"attn_implementation": attention} if attention is not None else {}
        model, report = model_class.from_pretrained(
            folder,
            config=config,
            dtype=torch.bfloat16 if dtype == "bfloat16" else torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **options,
        )
        _check_complete(report["missing_keys"], where)
        vars(model).pop("generate", None)  # a run's own file for other libraries; the rules are put back here
        model = model.eval().to(device)
        digest = model_digest(resolved.folder)
    info = ModelInfo(
        name=resolved.name,
        display_name=resolved.display_name,
        kind=found,
        folder=resolved.folder,
        source=resolved.source,
        licence=resolved.licence,
        origin=resolved.origin,
        digest=digest,
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        adds_bos=adds_bos(tokenizer),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        dtype=str(model.dtype).removeprefix("torch."),
    )
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedModel(model=model, tokenizer=tokenizer, info=info)


def checked_kind(
    resolved: ResolvedModel, *, kind: ModelKind | None = None, trust_remote_code: bool = False
) -> ModelKind:
    """Which kind of model a resolved folder holds, from its configuration alone; raises as `load` does for it.

    A folder without a tokenizer is refused, too.
    """
    config = _configuration(resolved, trust_remote_code=trust_remote_code)
    found = _demanded(kind, config, f"model {resolved.name!r}")
    demand_tokenizer(resolved.folder, where=f"model {resolved.name!r}")
    return found


def _demanded(kind: ModelKind | None, config: PretrainedConfig, where: str) -> ModelKind:
    found = kind_of(config, where=where)
    if kind is not None and kind != found:
        raise WrongModelKind(
            f"a {kind} language model is needed, and this is a {found} one",
            where=where,
            known=f"its configuration names {_architectures(config)}",
            do=f"name a {kind} model, or take out what needs one",
        )
    return found


def kind_of(config: PretrainedConfig, *, where: str = "model") -> ModelKind:
    """Whether a configuration describes a causal or a masked language model.

    The architecture that it names decides; a bare body (`BertModel`) or none is judged by the family. Raises
    WrongModelKind for classifiers, encoder-decoders and other models without such a head.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    families = {"causal": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, "masked": MODEL_FOR_MASKED_LM_MAPPING_NAMES}
    classes = {kind: set(_flat(mapping.values())) for kind, mapping in families.items()}
    names = list(config.architectures or ())
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
        known=f"its configuration names {_architectures(config)}",
        do="name a model whose class ends in ForCausalLM or ForMaskedLM",
    )


def model_digest(folder: Path) -> str:
    """SHA-256 over the names and digests of a folder's weights, configuration and tokenizer files.

    A folder that the toolkit sealed is not read again when nothing in it was touched since it was last
    checked.
    """
    if (folder / COMPLETE).is_file() and damage(folder) is None:
        digests = digests_of(folder)
    else:
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (COMPLETE, STAMP))
        digests = {
            path.relative_to(folder).as_posix(): sha256_file(path) for path in paths if path.suffix in _IDENTITY_FILES
        }
    return digest_of({name: digest for name, digest in digests.items() if name.endswith(_IDENTITY_FILES)})


def untrained_head(model: PreTrainedModel) -> bool:
    """Whether the language-model head still has its first, random weights, so that its predictions mean nothing."""
    return bool(getattr(model.config, UNTRAINED, False))


def note_moved(model: PreTrainedModel, moved: Iterable[str]) -> None:
    """After a training that moved these parameters: the mark of an untrained head goes when all of the head did."""
    if untrained_head(model):
        body = f"{model.base_model_prefix}."
        head = {name for name, _ in model.named_parameters() if not name.startswith(body)}
        if head <= set(moved):
            delattr(model.config, UNTRAINED)


def _configuration(resolved: ResolvedModel, *, trust_remote_code: bool) -> PretrainedConfig:
    import transformers
    from transformers import CONFIG_MAPPING, AutoConfig

    path = resolved.folder / "config.json"
    where = f"model {resolved.name!r}"
    try:
        fields: Mapping[str, Any] = dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise UsageError("this is no model configuration", where=str(path), known=str(error)) from error
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


def _check_weights(folder: Path) -> None:
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:
            raise DigestMismatch(
                "the weights are damaged",
                where=str(path),
                known=str(error),
                do="copy or download the file again",
            ) from error


def _check_complete(missing: Iterable[str], where: str) -> None:
    names = sorted(missing)
    if names:
        raise WrongModelKind(
            "the weights of its language-model head are not there, and random ones would mean nothing",
            where=where,
            known=f"missing: {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}",
            do="name a model that was saved with its head",
        )


def _architectures(config: PretrainedConfig) -> str:
    return ", ".join(config.architectures or ()) or f"no class, and the model type {config.model_type!r}"


def _flat(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif value is not None:
            yield from _flat(value)


@contextlib.contextmanager
def own_bars_off() -> Iterator[None]:
    """No bars of transformers 5, which draws one of its own for every load and every save."""
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()

"""Load causal and masked language models and their tokenizers, from safetensors only.

loaded = load(resolve("smollm2-135m-instruct"))
loaded.model, loaded.tokenizer, loaded.info.tokenizer_fingerprint
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from evenhand import devices
from evenhand.body_conversion import UNTRAINED
from evenhand.cache import COMPLETE, STAMP, damage, digest_of, digests_of, sha256_file
from evenhand.errors import DigestMismatch, UsageError, WrongModelKind
from evenhand.folder_names import any_folder_name
from evenhand.model_kind import checked_kind, configuration_of, demanded_kind
from evenhand.near_match import did_you_mean
from evenhand.progress import progress
from evenhand.resolution import ResolvedModel, Source, resolve
from evenhand.shelf import ModelKind, list_shelf
from evenhand.tokenizer_identity import adds_bos, tokenizer_fingerprint
from evenhand.tokenizer_loading import demand_fitting, load_tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "LoadedModel",
    "ModelInfo",
    "ModelKind",
    "ResolvedModel",
    "adds_bos",
    "checked_kind",
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
    when it needs its own code and that was not allowed, its files cannot be understood, its weights are quantised, or
    the format or device is not there, DigestMismatch when files are damaged.
    """
    where = f"model {resolved.name!r}"
    if dtype not in get_args(Dtype):
        near, known = did_you_mean(dtype, get_args(Dtype)), ", ".join(get_args(Dtype))
        raise UsageError(f"there is no number format {dtype!r}{near}", where=where, known=f"known: {known}")
    device = devices.chosen(device)
    quiet = any_folder_name(trust_remote_code=trust_remote_code)
    with progress(f"Loading {resolved.display_name}"), own_bars_off(), quiet:
        config = configuration_of(resolved, trust_remote_code=trust_remote_code)
        found = demanded_kind(kind, config, where)
        _check_weights(resolved.folder)
        tokenizer: Any = load_tokenizer(resolved.folder, where=where, trust_remote_code=trust_remote_code)
        model = _with_weights(
            resolved, config, found, dtype, trust_remote_code=trust_remote_code, attention=attention
        ).to(device)
        demand_fitting(tokenizer, model, where=where)
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


def _with_weights(
    resolved: ResolvedModel, config: PretrainedConfig, kind: ModelKind, dtype: Dtype, *, trust_remote_code: bool,
    attention: str | None,
) -> Any:  # fmt: skip
    """The model with all weights of its head, in evaluation mode, on the processor."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    model_class: Any = AutoModelForCausalLM if kind == "causal" else AutoModelForMaskedLM
    options = {"attn_implementation": attention} if attention is not None else {}
    model, report = model_class.from_pretrained(
        str(resolved.folder),
        config=config,
        dtype=torch.bfloat16 if dtype == "bfloat16" else torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=trust_remote_code,
        output_loading_info=True,
        **options,
    )
    _check_complete(report["missing_keys"], f"model {resolved.name!r}")
    vars(model).pop("generate", None)  # a run's own file for other libraries; the rules are put back here
    return model.eval()


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

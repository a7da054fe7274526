"""The models of masked rewriting: what the options name, loaded, with a voice for each expert.

Weights are read from safetensors alone, and no code that comes with a model is run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from evenhand_sdk import UsageError
from evenhand_sdk.named_models import model_folder
from evenhand_standard.decoding.causal_infiller import CausalInfiller
from evenhand_standard.decoding.infillers import MaskedInfiller, Voice, Voices
from evenhand_standard.decoding.lora_experts import is_adapter, read_adapter

if TYPE_CHECKING:
    from evenhand_sdk import RunContext
    from evenhand_standard.decoding.infillers import Infiller
    from evenhand_standard.decoding.masked_rewriting import MaskedRewritingOptions


def infiller_of(o: MaskedRewritingOptions, run: RunContext, model: Any) -> Infiller:
    """The infiller of the options: the masked model that they name, or the model that answers.

    Raises UsageError for what cannot be loaded, for another vocabulary, and for a tokenizer without places.
    """
    masked, tokenizer, device = o.infiller is not None, run.tokenizer, "cpu" if run.remote else run.device
    if o.infiller is not None:
        model, tokenizer = loaded(o.infiller, masked=True, device=device, offline=run.offline, where="option infiller")
        if tokenizer.mask_token_id is None:
            raise UsageError(f"the model {o.infiller!r} has no token for a mask", where="option infiller")
    if not tokenizer.is_fast:
        raise UsageError(
            "its tokenizer does not say where in a text its tokens stand", where="option infiller",
            do="name a model with a fast tokenizer",
        )  # fmt: skip
    if o.expert_models:
        voice = partial(_voice, model=model, tokenizer=tokenizer, masked=masked, device=device, offline=run.offline)
        towards = [voice(place, where="option expert_models") for place in o.expert_models]
        away = [voice(place, where="option anti_expert_models") for place in o.anti_expert_models]
    else:
        towards = [Voice(model, words) for words in o.experts]
        away = [Voice(model, words) for words in o.anti_experts]
    voices = Voices(Voice(model), towards, away)
    return MaskedInfiller(tokenizer, voices) if masked else CausalInfiller(tokenizer, voices, run.services)


def _voice(
    place: str, *, model: Any, tokenizer: Any, masked: bool, device: str, offline: bool, where: str
) -> Voice:  # fmt: skip
    if is_adapter(place):
        return Voice(model, adapter=read_adapter(place, model))
    expert, own = loaded(place, masked=masked, device=device, offline=offline, where=where)
    if own.get_vocab() != tokenizer.get_vocab():
        raise UsageError(
            f"the expert {place!r} has another vocabulary than the infiller", where=where,
            do="train it from the infiller",
        )  # fmt: skip
    return Voice(expert)


def loaded(place: str, *, masked: bool, device: str, offline: bool, where: str) -> tuple[Any, Any]:
    """A named model in evaluation mode, and its tokenizer; raises what `model_folder` raises, and UsageError."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    kind = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    folder = str(model_folder(place, offline=offline, where=where))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = kind.from_pretrained(folder, use_safetensors=True, trust_remote_code=False).eval().to(device)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the model {place!r} cannot be loaded: {error}",
            where=where,
            do="name a folder or an id of the hub with a config, a tokenizer and model.safetensors",
        ) from error
    return model, tokenizer

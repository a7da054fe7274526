"""A user's own rewriting model, sequence-to-sequence or causal, as a function from text to text.

Weights are read from safetensors alone, and no code that comes with a model is run.
"""

from __future__ import annotations

from collections.abc import Callable

from evenhand_sdk import UsageError


def rewriter(place: str, prompt: str, device: str) -> Callable[[str, str, str], str]:
    """(word, target, text) -> what the model writes, greedily, at most half as long again as what it got.

    Raises UsageError where the folder or hub id cannot be loaded.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        model = kind.from_pretrained(place, use_safetensors=True, trust_remote_code=False).eval().to(device)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the rewriter {place!r} cannot be loaded: {error}",
            where="option model",
            do="name a folder or an id of the hub with a config, a tokenizer and model.safetensors, or set "
            'rewriter = "engine"',
        ) from error

    def write(word: str, target: str, text: str) -> str:
        asked = prompt.replace("{word}", word).replace("{target}", target).replace("{text}", text)
        ids = tokenizer(asked, return_tensors="pt")["input_ids"].to(device)
        length = len(tokenizer(text, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=length + length // 2 + 8,
                do_sample=False,
                num_beams=1,
                pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
            )
        new = out[0] if config.is_encoder_decoder else out[0, ids.shape[1] :]
        return str(tokenizer.decode(new, skip_special_tokens=True))

    return write

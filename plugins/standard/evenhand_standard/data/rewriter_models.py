"""A user's own rewriting model, sequence-to-sequence or causal, as a function from text to text.

Weights are read from safetensors alone, and no code that comes with a model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from evenhand_sdk import RunContext, UsageError
from evenhand_sdk.named_models import model_folder

Asked = tuple[str, str, str]
"""Word, target group, text."""
Writer = Callable[[Sequence[Asked]], list[str]]
"""Some of these -> what the rewriter makes of them."""
AT_ONCE = 16
"""Texts that are written in one pass."""


def rewriter(place: str, prompt: str, device: str, *, offline: bool) -> Writer:
    """(word, target, text) of some texts -> what the model writes, greedily, each at most half as long again as what
    it got.

    Raises what `model_folder` raises, and UsageError where the model cannot be loaded.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    folder = str(model_folder(place, offline=offline, where="option model"))
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = kind.from_pretrained(folder, use_safetensors=True, trust_remote_code=False).eval().to(device)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the rewriter {place!r} cannot be loaded: {error}",
            where="option model",
            do="name a folder or an id of the hub with a config, a tokenizer and model.safetensors, or set "
            'rewriter = "engine"',
        ) from error
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    def write(asked: Sequence[Asked]) -> list[str]:
        filled = [
            prompt.replace("{word}", word).replace("{target}", target).replace("{text}", text)
            for word, target, text in asked
        ]
        ids = [tokenizer(text)["input_ids"] for text in filled]
        lengths = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for _, _, text in asked]
        most = [length + length // 2 + 8 for length in lengths]
        width = max(map(len, ids))
        left = not config.is_encoder_decoder  # what is written follows the prompt, so its padding stands before it
        rows = [
            [padding] * (width - len(row)) * left + row + [padding] * (width - len(row)) * (not left) for row in ids
        ]
        mask = [[0] * (width - len(row)) * left + [1] * len(row) + [0] * (width - len(row)) * (not left) for row in ids]
        with torch.no_grad():
            out = model.generate(
                input_ids=torch.tensor(rows, device=device),
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=max(most),
                do_sample=False,
                num_beams=1,
                pad_token_id=padding,
            )
        start = width if left else 1  # a decoder begins with its start token
        return [
            str(tokenizer.decode(row[start : start + longest], skip_special_tokens=True))
            for row, longest in zip(out, most, strict=True)
        ]

    return write


class Models:
    """The models that rewrite or choose, each loaded once and when it is first needed."""

    def __init__(self, options: Any, run: RunContext) -> None:
        self.options, self.run = options, run

    @cached_property
    def write(self) -> Writer:
        return rewriter(self.options.model or "", self.options.prompt, self.run.device, offline=self.run.offline)

    @cached_property
    def base(self) -> Any:
        return self.run.services.load_base()

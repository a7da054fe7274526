"""A tiny model of every described family, with weights wide enough that attention is far from even."""

from __future__ import annotations

from typing import Any

import torch
import transformers

SHAPE = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 48}
GROUPED = {**SHAPE, "num_key_value_heads": 2, "head_dim": 8}
GPT2 = {"n_layer": 3, "n_head": 4, "n_embd": 32}
WIDE_HEADS = {**GROUPED, "head_dim": 16, "query_pre_attn_scalar": 16}  # heads together wider than the model
SETTINGS: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "mistral": GROUPED,
    "smollm3": GROUPED,
    "qwen2": GROUPED,
    "qwen3": GROUPED,
    "gemma": GROUPED,
    "gemma2": {**WIDE_HEADS, "attn_logit_softcapping": None},
    "gemma3_text": WIDE_HEADS,
    "gpt2": GPT2,
    "gpt_neox": SHAPE,
    "bert": SHAPE,
    "roberta": SHAPE,
    "xlm-roberta": SHAPE,
    "camembert": SHAPE,
}
MASKED = ("bert", "roberta", "xlm-roberta", "camembert")
TYPES = tuple(SETTINGS)


def family_model(model_type: str, **more: Any) -> Any:
    """A model of 64 tokens with eager attention; biases and norms are random, too, so that none can be forgotten."""
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    settings = {**SETTINGS[model_type], **special, "initializer_range": 0.3, **more}
    config = transformers.AutoConfig.for_model(model_type, vocab_size=64, **settings)
    auto = transformers.AutoModelForMaskedLM if model_type in MASKED else transformers.AutoModelForCausalLM
    draw = torch.Generator().manual_seed(5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = auto.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
            assert torch.isfinite(parameter).all(), name
    return model


class PackedLinear(torch.nn.Module):
    """A linear map whose codes are no tensor of it, and whose `weight` is a method, as in `torch.ao`."""

    def __init__(self, whole: torch.nn.Linear) -> None:
        super().__init__()
        self._packed = (whole.weight.detach(),)

    def weight(self) -> torch.Tensor:
        return self._packed[0]


def packed(model: Any) -> Any:
    """The model, changed: every linear map in its layers is a packed one."""
    for layer in model.base_model.layers:
        for module in list(layer.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, torch.nn.Linear):
                    setattr(module, name, PackedLinear(child))
    return model


def tokens(rows: int = 2, length: int = 7) -> torch.Tensor:
    """Token ids [rows, length] without special ones, the same at every call."""
    return torch.randint(3, 64, (rows, length), generator=torch.Generator().manual_seed(11))


def attentions(model: Any, ids: torch.Tensor) -> list[torch.Tensor]:
    """The attention probabilities [rows, heads, length, length] of each layer."""
    with torch.no_grad():
        return list(model(input_ids=ids, output_attentions=True).attentions)

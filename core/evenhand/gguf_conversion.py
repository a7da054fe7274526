"""From a GGUF file to a Hugging Face folder with float32 weights and the right tokenizer.

The weights are dequantised straight into float32: a detour through bfloat16 moves the log-likelihood of a
sentence by up to a tenth of a nat. The tokenizer is rebuilt from the stored vocabulary and merges, because
transformers 4.57 gives it a false beginning-of-sequence token and the wrong end-of-sequence token. All files
are written here rather than by transformers, so that the folder is the same, byte for byte, under every
version of it.

Supported are the `llama` architecture with plain rotary positions, and the `smollm` byte-level tokenizer.
Anything else is refused by name: a model that is nearly right would move every score.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import Json, write_atomic
from evenhand.errors import EvenhandError, StorageFault, UsageError
from evenhand.progress import progress

if TYPE_CHECKING:
    import numpy as np

FORMAT = 2
"""Raised whenever this file writes something else, so that older conversions in a cache are made again."""

ARCHITECTURES = ("llama",)
TOKENIZERS = ("smollm",)

_CONTROL_TOKEN = 3

_OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INNER = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}


def convert(source: Path, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` (float32) and the tokenizer's files into an existing folder.

    Raises UsageError when the file is no GGUF file, or of an architecture or tokenizer that is not supported,
    and StorageFault when the disk is full.
    """
    with progress(f"Converting {source.name}") as bar:
        metadata, tensors = _read(source)
        try:
            config = model_config(metadata, {name: shape for name, (shape, _) in tensors.items()}, source)
            files = tokenizer_files(metadata, source)
        except KeyError as error:
            raise UsageError(f"the GGUF file lacks {error}", where=str(source)) from error
        bar.total, bar.unit = len(tensors), "tensors"
        weights: dict[str, np.ndarray[Any, Any]] = {}
        for name, (_, tensor) in tensors.items():
            weights[parameter_name(name, source)] = _values(name, tensor, config)
            bar.advance()
        save_weights(weights, folder / "model.safetensors")
    for name, content in {**files, **_config_files(config)}.items():
        write_atomic(folder / name, content)


def model_config(metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], source: Path) -> dict[str, Json]:
    """The fields of `config.json`, in the spelling that transformers 4 and 5 both read.

    `shapes` are the tensors' shapes in PyTorch's order. Raises UsageError for what is not supported.
    """
    architecture = metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise _refusal(source, f"the architecture {architecture!r}", f"supported: {', '.join(ARCHITECTURES)}")
    # Position scaling and experts change the forward pass; reading past them would give another model.
    for key in metadata:
        if key.startswith("llama.rope.scaling.") or key.startswith("llama.expert_"):
            raise _refusal(source, f"the setting {key!r}", "supported: plain rotary positions, no experts")
    vocabulary, width = shapes["token_embd.weight"]
    heads = int(metadata["llama.attention.head_count"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": int(metadata["llama.feed_forward_length"]),
        "num_hidden_layers": int(metadata["llama.block_count"]),
        "num_attention_heads": heads,
        "num_key_value_heads": int(metadata.get("llama.attention.head_count_kv", heads)),
        "head_dim": int(metadata.get("llama.rope.dimension_count", width // heads)),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": int(metadata["llama.context_length"]),
        "rope_theta": _shortest(metadata.get("llama.rope.freq_base", 10000.0)),
        "rms_norm_eps": _shortest(metadata["llama.attention.layer_norm_rms_epsilon"]),
        "tie_word_embeddings": "output.weight" not in shapes,
        "bos_token_id": _token_id(metadata, "bos"),
        "eos_token_id": _token_id(metadata, "eos"),
        "pad_token_id": _token_id(metadata, "padding"),
        "torch_dtype": "float32",
    }


def parameter_name(name: str, source: Path) -> str:
    """The name that transformers gives to a GGUF tensor of a llama; UsageError for an unknown one."""
    if name in _OUTER:
        return _OUTER[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    if name.startswith("blk.") and block.isdecimal() and rest in _INNER:
        return f"model.layers.{block}.{_INNER[rest]}"
    raise _refusal(source, f"the tensor {name!r}", "supported: a llama without biases or extra factors")


def unpermute(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Undo GGUF's order of query and key rows.

    GGUF stores the two halves of each head's rotary pairs interleaved (0, d/2, 1, d/2 + 1, ...); transformers
    keeps them one after the other (0 ... d/2 - 1, d/2 ... d - 1). `weight` is [heads * d, width]; the result
    has its shape.
    """
    rows = weight.shape[0]
    pairs = weight.reshape(heads, rows // heads // 2, 2, *weight.shape[1:])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def tokenizer_files(metadata: Mapping[str, Any], source: Path) -> dict[str, str]:
    """File name -> content of the tokenizer: `tokenizer.json`, `tokenizer_config.json`, the chat template.

    Byte-pair encoding on the stored merges; digits stand alone, then bytes without a prefix space; control
    tokens are special; nothing is added around a text.
    """
    family, variant = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if family != "gpt2" or variant not in TOKENIZERS:
        raise _refusal(
            source,
            f"the tokenizer {family!r} / {variant!r}",
            f"supported: {', '.join(TOKENIZERS)}",
        )
    tokens: list[str] = list(metadata["tokenizer.ggml.tokens"])
    special = [
        token for token, kind in zip(tokens, metadata["tokenizer.ggml.token_type"], strict=True)
        if kind == _CONTROL_TOKEN
    ]  # fmt: skip
    named = {role: tokens[_token_id(metadata, key)] for role, key in _ROLES.items()}
    config: dict[str, Json] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **named,
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        # The class would also give token_type_ids, which `generate` of a llama refuses.
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": int(metadata["llama.context_length"]),
    }
    files = {
        "tokenizer.json": _byte_level_tokenizer(tokens, metadata["tokenizer.ggml.merges"], special),
        "tokenizer_config.json": _json(config),
        "special_tokens_map.json": _json(named),
    }
    if template := metadata.get("tokenizer.chat_template"):
        files["chat_template.jinja"] = str(template)
    return files


_ROLES = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}


def _byte_level_tokenizer(tokens: list[str], merges: Iterable[str], special: list[str]) -> str:
    from tokenizers import (  # type: ignore[import-untyped, unused-ignore]
        AddedToken,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
    )

    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return str(tokenizer.to_str())


def _config_files(config: Mapping[str, Json]) -> dict[str, str]:
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return {"config.json": _json(config), "generation_config.json": _json(ids)}


def _read(source: Path) -> tuple[dict[str, Any], dict[str, tuple[tuple[int, ...], Any]]]:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(source)
        metadata = {key: field.contents() for key, field in reader.fields.items()}
    except (ValueError, KeyError, IndexError) as error:
        raise UsageError(
            "cannot be read as a GGUF file", where=str(source), known=f"{type(error).__name__}: {error}"
        ) from error
    # GGUF counts dimensions from the innermost; PyTorch from the outermost.
    return metadata, {t.name: (tuple(int(n) for n in reversed(t.shape)), t) for t in reader.tensors}


def _values(name: str, tensor: Any, config: Mapping[str, Json]) -> np.ndarray[Any, Any]:
    import numpy as np
    from gguf import dequantize

    values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
    if name.endswith("attn_q.weight"):
        values = unpermute(values, _count(config["num_attention_heads"]))
    elif name.endswith("attn_k.weight"):
        values = unpermute(values, _count(config["num_key_value_heads"]))
    return np.ascontiguousarray(values)


def save_weights(weights: dict[str, np.ndarray[Any, Any]], path: Path) -> None:
    """Write tensors as safetensors; StorageFault when the disk is full."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(weights, path, metadata={"format": "pt"})
    except SafetensorError as error:
        # The library hides the operating system's error in its message.
        raise StorageFault(
            "the weights could not be written",
            where=str(path),
            known=f"{error}; nothing half-written was kept",
            do="free some space, or set EVENHAND_CACHE to another folder",
        ) from error


def _refusal(source: Path, what: str, known: str) -> EvenhandError:
    return UsageError(
        f"GGUF files with {what} are not supported",
        where=str(source),
        known=known,
        do="name a Hugging Face folder or hub id of the same model instead",
    )


def _token_id(metadata: Mapping[str, Any], role: str) -> int:
    # A model that names no padding or unknown token pads with the end of the sequence, which is always masked
    # out.
    fallback = metadata["tokenizer.ggml.eos_token_id"]
    return int(metadata.get(f"tokenizer.ggml.{role}_token_id", fallback))


def _count(value: Json) -> int:
    assert isinstance(value, int)
    return value


def _shortest(value: float) -> float:
    # GGUF keeps 1e-5 as a 32-bit number, which prints as 9.999999747378752e-06.
    import numpy as np

    return float(str(np.float32(value)))


def _json(value: Mapping[str, Json]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

"""A whole GGUF file of a tiny llama with the smollm tokenizer, written from a model made in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WIDTH, HEADS, KEY_HEADS, INNER, LAYERS, POSITIONS = 32, 4, 2, 64, 2, 128
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "t he", "Ġ the", "Ġ 1", "1 2"]


def tokens() -> list[str]:
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return [*SPECIAL, *letters, *(merge.replace(" ", "") for merge in MERGES)]


def tiny_llama() -> Any:
    """A seeded transformers model with the sizes above and its own output matrix."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokens()),
            hidden_size=WIDTH,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_HEADS,
            max_position_embeddings=POSITIONS,
            rms_norm_eps=1e-5,
            initializer_range=0.3,
        )
    ).eval()


def interleaved(weight: Any, heads: int) -> Any:
    """GGUF's row order, written out row by row: of each head 0, d/2, 1, d/2 + 1, ..."""
    import numpy as np

    size = weight.shape[0] // heads
    order = [head * size + half * size // 2 + i for head in range(heads) for i in range(size // 2) for half in (0, 1)]
    return np.ascontiguousarray(weight[order])


def write_tiny_gguf(path: Path, *, model: Any = None, tied: bool = False, **changes: Any) -> Path:
    """Write the file; `changes` replace metadata: `architecture`, `pre`, `extra` (a float under any key)."""
    from gguf import GGUFWriter

    model = model if model is not None else tiny_llama()
    writer = GGUFWriter(path, changes.get("architecture", "llama"))
    writer.add_block_count(LAYERS)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(WIDTH)
    if changes.get("without") != "feed_forward_length":
        writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(changes.get("pre", "smollm"))
    writer.add_token_list(tokens())
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens()) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{{ messages[0]['content'] }}<|im_end|>")
    for key, value in changes.get("extra", {}).items():
        writer.add_float32(key, value)
    for name, values in _tensors(model, tied=tied):
        writer.add_tensor(name, values)
    for name, values in changes.get("tensors", {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(model: Any, *, tied: bool) -> list[tuple[str, Any]]:
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    out = [
        ("token_embd.weight", state["model.embed_tokens.weight"]),
        ("output_norm.weight", state["model.norm.weight"]),
    ]
    if not tied:
        out.append(("output.weight", state["lm_head.weight"]))
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        block = f"blk.{layer}."
        attention, mlp = prefix + "self_attn.", prefix + "mlp."
        out += [
            (block + "attn_norm.weight", state[prefix + "input_layernorm.weight"]),
            (block + "ffn_norm.weight", state[prefix + "post_attention_layernorm.weight"]),
            (block + "attn_q.weight", interleaved(state[attention + "q_proj.weight"], HEADS)),
            (block + "attn_k.weight", interleaved(state[attention + "k_proj.weight"], KEY_HEADS)),
            (block + "attn_v.weight", state[attention + "v_proj.weight"]),
            (block + "attn_output.weight", state[attention + "o_proj.weight"]),
            (block + "ffn_gate.weight", state[mlp + "gate_proj.weight"]),
            (block + "ffn_up.weight", state[mlp + "up_proj.weight"]),
            (block + "ffn_down.weight", state[mlp + "down_proj.weight"]),
        ]
    return out

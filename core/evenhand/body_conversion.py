"""From a package with the body of a BERT to a masked language model whose head must still be trained.

Encoders for sentence embeddings travel without the head that predicts words. Here it is put back, empty: the
transform of BERT (dense layer, activation, layer norm), and an output matrix tied to the input embeddings, with a bias
for each word. The dense layer is drawn as BERT draws it; biases are zero. Such a model says nothing about words, so
its configuration carries a mark, `UNTRAINED`, that a training of the head takes away.

All files are written here rather than by transformers, so that the folder is the same, byte for byte, under every
version of it. The body's weights are copied as they are; the pooler of the encoder has no use and is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import Json, write_atomic
from evenhand.errors import UsageError
from evenhand.gguf_conversion import save_weights
from evenhand.progress import progress

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
"""Raised whenever this file writes something else, so that older conversions in a cache are made again."""

UNTRAINED = "evenhand_untrained_head"
"""Key of `config.json`: true while the head has its first, random weights."""

WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""What is read of the body's folder."""

SEED = 0
_LEFT_OUT = ("pooler.", "embeddings.position_ids")
_HEAD = "cls.predictions"


def convert(body: Path, folder: Path) -> None:
    """Write a masked model with an untrained head into an existing folder, from the folder of a BERT body.

    Raises UsageError when the body is not that of a BERT, and StorageFault when the disk is full.
    """
    with progress(f"Putting a head on {body.name}"):
        fields = json.loads((body / "config.json").read_text("utf-8"))
        if fields.get("model_type") != "bert":
            raise UsageError(
                "only the body of a BERT can be given a head",
                where=str(body),
                known=f"its configuration names the model type {fields.get('model_type')!r}",
            )
        save_weights({**_body(body / WEIGHTS), **_empty_head(fields)}, folder / WEIGHTS)
    for name, content in {**_tokenizer_files(body), "config.json": _config(fields)}.items():
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomic(folder / name, text + "\n")


def _body(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors.numpy import load_file

    weights = load_file(path)
    return {f"bert.{name}": value for name, value in weights.items() if not name.startswith(_LEFT_OUT)}


def _empty_head(fields: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    import numpy as np

    width, words = int(fields["hidden_size"]), int(fields["vocab_size"])
    # RandomState, because its numbers are promised to be the same in every version of numpy.
    drawn = np.random.RandomState(SEED).standard_normal((width, width)) * float(fields["initializer_range"])
    zeros = np.zeros(width, np.float32)
    return {
        f"{_HEAD}.bias": np.zeros(words, np.float32),
        f"{_HEAD}.transform.dense.weight": drawn.astype(np.float32),
        f"{_HEAD}.transform.dense.bias": zeros,
        f"{_HEAD}.transform.LayerNorm.weight": zeros + 1,
        f"{_HEAD}.transform.LayerNorm.bias": zeros.copy(),
    }


def _config(fields: dict[str, Any]) -> Json:
    kept = {k: v for k, v in fields.items() if k not in ("_name_or_path", "transformers_version", "architectures")}
    return {**kept, "architectures": ["BertForMaskedLM"], "tie_word_embeddings": True, UNTRAINED: True}


def _tokenizer_files(body: Path) -> dict[str, Json]:
    """The tokenizer, without the fixed length of 128 tokens that embedding models cut and fill texts to."""
    tokenizer, config, special = (json.loads((body / name).read_text("utf-8")) for name in FILES[2:])
    return {
        "tokenizer.json": {**tokenizer, "truncation": None, "padding": None},
        "tokenizer_config.json": {k: v for k, v in config.items() if k != "name_or_path"},
        "special_tokens_map.json": special,
    }

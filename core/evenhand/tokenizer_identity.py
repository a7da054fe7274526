"""What makes two tokenizers the same for scoring, as one digest.

A silent beginning-of-sequence token or another segmentation moves every likelihood, so reports state the
fingerprint, and runs with different ones are not compared.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evenhand.cache import Json, digest_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "a"
_ROLES = ("bos", "eos", "unk", "cls", "sep", "mask")


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 over everything that decides the ids of a text.

    That is: vocabulary, merges, normaliser, pre-tokeniser, added tokens, the ids of the special tokens, and
    what is put before and after a text. Left out, because they change no score: padding, truncation, the
    decoder, the chat template. It is the same under transformers 4 and 5.
    """
    roles: dict[str, Json] = {role: getattr(tokenizer, f"{role}_token_id") for role in _ROLES}
    before, after = _wrapping(tokenizer)
    return digest_of({**_segmentation(tokenizer), "special": roles, "before": before, "after": after})


def adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether encoding a text puts the beginning-of-sequence (or classification) token before it."""
    before, _ = _wrapping(tokenizer)
    return bool(before) and before[-1] in (tokenizer.bos_token_id, tokenizer.cls_token_id)


def _wrapping(tokenizer: PreTrainedTokenizerBase) -> tuple[list[Json], list[Json]]:
    # Asked from the tokenizer, because transformers 5 puts an empty post-processor into its file.
    bare = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
    whole = tokenizer(_PROBE)["input_ids"]
    start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return list(whole[:start]), list(whole[start + len(bare) :])


def _segmentation(tokenizer: PreTrainedTokenizerBase) -> dict[str, Json]:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {"class": type(tokenizer).__name__, "vocabulary": dict(tokenizer.get_vocab())}
    stored: dict[str, Any] = json.loads(backend.to_str())
    model = dict(stored["model"])
    # Merges are written as "a b" or as ["a", "b"], depending on the version of the library.
    if "merges" in model:
        model["merges"] = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return {
        "model": model,
        "added": sorted(stored["added_tokens"], key=lambda token: int(token["id"])),
        "normalizer": stored["normalizer"],
        "pre_tokenizer": stored["pre_tokenizer"],
    }

"""Load the tokenizer of a model's folder, and say what is wrong where it has none that works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import UsageError
from evenhand.memory_errors import memory_ran_out

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
"""A tokenizer has at least one of these files."""
_COPY = "copy all of the model's files, or save the tokenizer into the folder with its save_pretrained"


def demand_tokenizer(folder: Path, *, where: str) -> None:
    """Raises UsageError for a folder without any file of a tokenizer."""
    if not any((folder / name).is_file() for name in FILES):
        raise UsageError(
            "the tokenizer is missing", where=where, known=f"{folder} has none of {', '.join(FILES)}", do=_COPY
        )


def demand_fitting(tokenizer: Any, model: Any, *, where: str) -> None:
    """Raises UsageError for a tokenizer whose words the model has no embeddings for: it belongs to another model.

    Tokens that were added to it do not count: many models carry some that no text has, such as one for images. Models
    with more embeddings than words are padded, and fit.
    """
    added = tokenizer.get_added_vocab()
    known = max((token for word, token in tokenizer.get_vocab().items() if word not in added), default=-1) + 1
    places = int(model.get_input_embeddings().num_embeddings)
    if known > places:
        raise UsageError(
            f"the tokenizer knows {known:,} tokens, the model {places:,}: it belongs to another model",
            where=where,
            do="give the tokenizer that the model was trained with",
        )


def load_tokenizer(folder: Path, *, where: str, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder. Raises UsageError when it is missing, damaged, or code that is not trusted."""
    from transformers import AutoTokenizer

    demand_tokenizer(folder, where=where)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:
        if memory_ran_out(error):
            raise
        own = _own_code(folder)
        if own and not trust_remote_code:
            raise UsageError(
                "its tokenizer wants to run Python code of its own, which is not allowed",
                where=where,
                known=f"{folder / 'tokenizer_config.json'} points to {', '.join(own)}",
                do="read that code, and set trust_remote_code = true under [model] if you trust it",
            ) from error
        said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
        raise UsageError(
            "its tokenizer cannot be loaded", where=where, known=_damaged(folder) or said, do=_COPY
        ) from error
    return tokenizer


def _damaged(folder: Path) -> str:
    """What is wrong with a file; libraries then try another kind of tokenizer, and tell of that one alone."""
    for path in (folder / name for name in FILES if name.endswith(".json")):
        try:
            json.loads(path.read_text("utf-8")) if path.is_file() else None
        except ValueError as error:
            return f"{path} is damaged: {error}"
    return ""


def _own_code(folder: Path) -> list[str]:
    """The classes of its own that a tokenizer's configuration names."""
    try:
        named = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))["auto_map"]["AutoTokenizer"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    found = named if isinstance(named, list | tuple) else [named]
    return [str(name) for name in found if name]

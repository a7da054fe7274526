"""An adapter that somebody has saved, put onto a model: from a folder or from a hub.

model, tokenizer = evenhand.load("runs/...")          # or a model of transformers
load_adapter(model, "owner/gender-adapter")           # its base is compared, and it is switched on
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evenhand_adapterfusion.bottleneck import load
from evenhand_adapterfusion.saved_files import CONFIG, WEIGHTS, read_config
from evenhand_sdk import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILES: Final = (CONFIG, WEIGHTS)
"""What is read: weights in safetensors alone, since other formats may run code when they are opened."""
_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load_adapter(
    model: PreTrainedModel, place: str | Path, *, name: str = "", revision: str | None = None, offline: bool = False
) -> str:
    """Put an adapter in the format of the library `adapters` onto a model, frozen and on top of those that are on.

    `place` is a folder, or `owner/name` on the Hugging Face hub, which is asked only then and, `offline`, not beyond
    the copy on this machine. Gives its name, its own one if none is given. The key-value cache is kept. Raises
    UsageError for an adapter of another base (where the files say which it was trained for), for a place without an
    adapter in safetensors, for one that is damaged, of another kind than a plain bottleneck or does not fit the model,
    and for a name that is taken or cannot be one; the model is then as it was.
    """
    folder = Path(place)
    if not folder.is_dir():
        if not _ID.fullmatch(str(place)):
            raise UsageError("there is no such folder", where=str(place), do="give a folder, or owner/name of the hub")
        folder = _pulled(str(place), revision, offline)
    for file in FILES:
        if not (folder / file).is_file():
            raise UsageError(
                f"there is no {file}", where=str(place), known=f"an adapter is {' and '.join(FILES)}",
                do="save it with use_safetensors=True",
            )  # fmt: skip
    chosen = name or read_config(folder / CONFIG)["name"]
    load(model, chosen, folder)
    return chosen


def _pulled(repository: str, revision: str | None, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repository, revision=revision, local_files_only=offline, allow_patterns=list(FILES))
        )
    except Exception as error:  # the hub's errors share no class
        reason = str(error).partition("\n")[0]
        raise UsageError(
            "the adapter could not be fetched from the hub", where=repository, known=f"{type(error).__name__}: {reason}"
        ) from error

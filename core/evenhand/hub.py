"""Models from the hub: the copy that is already on this machine, or a download that says its size first."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import STORAGE_ERRORS, storing
from evenhand.errors import UsageError
from evenhand.progress import announce, progress

if TYPE_CHECKING:
    from datasets import Dataset

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py", "README.md")
_UNWANTED = ("onnx/*", "openvino/*", "original/*", "*/consolidated*", "consolidated*")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class NotOnHub(Exception):
    """The hub has no such model, refuses it, or cannot be reached; the message is the reason."""


def is_hub_id(name: str) -> bool:
    """Whether the name has the form `model` or `owner/model`."""
    return _ID.fullmatch(name) is not None and ".." not in name and not name.endswith(".gguf")


def weights_problem(files: Collection[str]) -> str | None:
    """Why these file names are no model that may be loaded, or None.

    Weights are read from safetensors only: the other formats are pickles, which run code when they are
    opened.
    """
    if any(name.endswith(".safetensors") and not Path(name).name.startswith("adapter_") for name in files):
        return None
    if pickles := sorted(name for name in files if name.endswith(_PICKLES) and "adapter" not in name):
        return f"its weights are only in {pickles[0]}, a pickle, which can run code when it is opened"
    if packed := sorted(name for name in files if name.endswith(".gguf")):
        return f"its weights are only in {packed[0]}; name that file instead of the folder"
    if any(Path(name).name == "adapter_config.json" for name in files):
        return "it holds an adapter, not a whole model"
    return "it holds no *.safetensors file"


def is_wanted(file: str) -> bool:
    """Whether a file of a hub repository is fetched: safetensors, configuration, tokenizer, card, code."""
    return any(fnmatch(file, p) for p in _WANTED) and not any(fnmatch(file, p) for p in _UNWANTED)


def missing_shards(folder: Path) -> list[str]:
    """The weight files that the folder's index names and that are not there."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        named = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise UsageError("cannot be read", where=str(index), known=f"{type(error).__name__}: {error}") from error
    return sorted(name for name in named if not (folder / name).is_file())


def cached_snapshot(name: str, *, revision: str | None = None) -> Path | None:
    """The folder of a complete copy in the hub's own cache on this machine, or None. Asks no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    files = [path.name for path in folder.iterdir()]
    if "config.json" not in files or weights_problem(files) is not None or missing_shards(folder):
        return None
    return folder


def download(name: str, announce: Callable[[str], None], *, revision: str | None = None) -> Path:
    """Fetch a model into the hub's own cache, after saying how large it is; the folder of the snapshot.

    Raises NotOnHub with the reason, UsageError when its weights are pickles only, StorageFault on a full
    disk.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    with _asking("model"):
        facts = HfApi().model_info(name, revision=revision, files_metadata=True)
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in facts.siblings or ()}
    if problem := weights_problem(sizes):
        raise refused(name, problem)
    size = sum(bytes_ for file, bytes_ in sizes.items() if is_wanted(file))
    announce(f"{name}: downloading {size / 1e6:,.1f} MB from the hub")
    hub_cache = Path(constants.HF_HUB_CACHE)
    with storing(hub_cache), progress(f"Downloading {name} ({size / 1e6:,.1f} MB)"), _own_bars_off():
        try:
            return Path(
                snapshot_download(
                    name, revision=facts.sha, allow_patterns=list(_WANTED), ignore_patterns=list(_UNWANTED)
                )
            )
        except _network_errors() as error:
            if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
                raise
            raise NotOnHub(f"the download broke off ({type(error).__name__})") from error


def _network_errors() -> tuple[Any, ...]:
    from huggingface_hub.errors import HfHubHTTPError

    # The library changed its HTTP client between its major versions; this base class is the client's own.
    return (OSError, *HfHubHTTPError.__bases__)


@contextlib.contextmanager
def _asking(what: str) -> Iterator[None]:
    """A question to the hub; what it or the network answers instead becomes NotOnHub with the reason."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise NotOnHub("its owner asks for consent first; accept on its page and run `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise NotOnHub(f"there is no public {what} of this name") from error
    except _network_errors() as error:
        raise NotOnHub(f"{constants.ENDPOINT} cannot be reached ({type(error).__name__})") from error


def cached_data(name: str, config: str | None, split: str) -> Dataset | None:
    """The rows of a split that is in the library's own cache on this machine, or None. Asks no network."""
    import datasets
    from datasets import config as library
    from datasets import load_dataset

    asked = library.HF_HUB_OFFLINE
    library.HF_HUB_OFFLINE = True
    try:
        with _quiet(datasets):
            return load_dataset(name, config, split=split)
    except (OSError, ValueError):  # what the library raises when it has no copy, or none with such a part
        return None
    finally:
        library.HF_HUB_OFFLINE = asked


def data_file(name: str, path: str, revision: str | None = None, announce: Callable[[str], None] = announce) -> Path:
    """One file of a data set, from this machine's copy or from the hub, after saying so. Raises NotOnHub."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def get(local: bool) -> Path:
        return Path(hf_hub_download(name, path, repo_type="dataset", revision=revision, local_files_only=local))

    try:
        return get(True)
    except LocalEntryNotFoundError:
        if switched_off():
            raise NotOnHub("it is not on this machine, and HF_HUB_OFFLINE forbids to fetch it") from None
    announce(f"{name}: downloading {path} from the hub")
    with _asking("data set"), _own_bars_off():
        try:
            return get(False)
        except EntryNotFoundError as error:
            raise NotOnHub("the data set has no such file") from error


def download_data(
    name: str, config: str | None, split: str, announce: Callable[[str], None] = announce
) -> tuple[Dataset, str]:
    """Fetch a data set after saying how large it is; the split's rows and its licence ("" when it states none).

    Raises NotOnHub with the reason, such as the names of the configurations; StorageFault on a full disk.
    """
    from datasets import load_dataset
    from huggingface_hub import HfApi, constants

    with _asking("data set"):
        facts = HfApi().dataset_info(name, files_metadata=True)
    size = sum(sibling.size or 0 for sibling in facts.siblings or ())
    announce(f"{name}: downloading at most {size / 1e6:,.1f} MB from the hub")
    stated = facts.card_data.get("license") if facts.card_data else ""
    with storing(Path(constants.HF_HUB_CACHE)), progress(f"Downloading {name}"), _own_bars_off():
        try:
            rows = load_dataset(name, config, split=split, revision=facts.sha)
        except (*_network_errors(), ValueError) as error:
            if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
                raise
            told = " ".join(str(error).split())[:300]
            raise NotOnHub(f"it cannot be read as one data set ({type(error).__name__}: {told})") from error
    return rows, stated if isinstance(stated, str) else ", ".join(stated or ())


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """No warnings of a library about a copy that it takes because the hub was not to be asked."""
    level = library.logging.get_verbosity()
    library.logging.set_verbosity_error()
    try:
        yield
    finally:
        library.logging.set_verbosity(level)


def refused(where: str, problem: str) -> UsageError:
    """The refusal of a model whose files may not, or cannot, be loaded."""
    return UsageError(
        "this model cannot be used",
        where=where,
        known=problem,
        do="save it once with `save_pretrained` in an environment that you trust: that writes safetensors",
    )


def switched_off() -> bool:
    """Whether the environment forbids the hub (`HF_HUB_OFFLINE`)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


@contextlib.contextmanager
def _own_bars_off() -> Iterator[None]:
    from huggingface_hub import utils

    bars: Any = utils
    if bars.are_progress_bars_disabled():
        yield
        return
    bars.disable_progress_bars()
    try:
        yield
    finally:
        bars.enable_progress_bars()

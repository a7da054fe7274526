"""The user's cache: where it is, how files get into it whole, and how a damaged entry is found out.

Writers build in a temporary place beside the target, flush, and rename. A folder counts as complete only when
it holds `COMPLETE.json`, which records size and SHA-256 of every file. Reading checks the sizes always, and
the digests whenever a file's size or modification time differs from the last full check.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evenhand.errors import StorageFault

COMPLETE = "COMPLETE.json"
"""The file that makes a cached folder complete: size and SHA-256 of each file, and facts about its origin."""

STAMP = "VERIFIED.json"
"""Size and modification time of each file when its digest was last checked."""

_ABANDONED_AFTER = 24 * 3600.0
_PARTIAL = ".partial"
STORAGE_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "writing there is not permitted",
    errno.EPERM: "writing there is not permitted",
    errno.ENOTDIR: "a file is where a folder is needed",
    errno.EEXIST: "a file is where a folder is needed",
}

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None


def cache_dir() -> Path:
    """The folder for everything that can be fetched or computed again.

    `EVENHAND_CACHE`, else `XDG_CACHE_HOME/evenhand`, else `~/.cache/evenhand`. It is not created by asking.
    """
    if own := os.environ.get("EVENHAND_CACHE"):
        return Path(own).expanduser().absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser().absolute() / "evenhand"
    return Path.home() / ".cache" / "evenhand"


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hexadecimal SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def canonical_json(value: Json) -> str:
    """JSON with sorted keys and no spaces; NaN and infinity are refused with ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Json) -> str:
    """Hexadecimal SHA-256 of a JSON value, independent of the order of its keys."""
    return sha256_text(canonical_json(value))


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn a full disk, a used-up quota or a forbidden folder into StorageFault that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno not in STORAGE_ERRORS:
            raise
        raise StorageFault(
            f"could not be written: {STORAGE_ERRORS[error.errno]}",
            where=str(error.filename or path),
            known="nothing half-written was kept",
            do="free some space, or set EVENHAND_CACHE or --output to another folder",
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and those it lies in, where they are not there yet. Raises StorageFault that names the path."""
    with storing(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in STORAGE_ERRORS:
                raise
            # Such as /proc, which holds no folders of ours and says "No such file or directory".
            raise StorageFault(
                f"this folder cannot be made: {error.strerror or error}",
                where=str(error.filename or path),
                do="set EVENHAND_CACHE or --output to another folder",
            ) from error


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that, at any moment, its old or its new content is there, and never a part.

    Text is written in UTF-8 with the line ends that it has. Parent folders are made. Raises StorageFault.
    """
    payload = content.encode("utf-8") if isinstance(content, str) else content
    with storing(path):
        make_folder(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


@contextlib.contextmanager
def atomic_folder(path: Path, *, origin: Mapping[str, Json] | None = None) -> Iterator[Path]:
    """Build a folder in a temporary place; when the block ends well, seal it and move it to `path`.

    `origin` is kept in `COMPLETE.json`. An older folder at `path` is replaced, unless another process has put
    a complete one with the same files and origin there meanwhile. When the block raises, nothing is left behind. Raises
    StorageFault on a full disk.
    """
    with storing(path):
        make_folder(path.parent)
        sweep_abandoned(path.parent)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent))
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            seal(temporary, origin=origin)
            _swap(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def seal(folder: Path, *, origin: Mapping[str, Json] | None = None) -> None:
    """Flush every file of the folder and record sizes and digests in `COMPLETE.json`."""
    for name in _files(folder):
        with (folder / name).open("rb+") as stream:
            os.fsync(stream.fileno())
        os.chmod(folder / name, 0o666 & ~_umask())
    entries: dict[str, Json] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in _files(folder)
    }
    _stamp(folder)
    record: dict[str, Json] = {"files": entries, "origin": dict(origin or {})}
    write_atomic(folder / COMPLETE, json.dumps(record, indent=1, sort_keys=True) + "\n")


def make_readable(folder: Path) -> None:
    """Give every file below a folder the permissions that a new file has here."""
    mode = 0o666 & ~_umask()
    for path in folder.rglob("*"):
        if path.is_file():
            os.chmod(path, mode)


def origin_of(folder: Path) -> dict[str, Json]:
    """What `atomic_folder` was told about the origin of a complete folder."""
    record = json.loads((folder / COMPLETE).read_text("utf-8"))
    return dict(record["origin"])


def digests_of(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of a complete folder, as recorded when it was sealed."""
    record = json.loads((folder / COMPLETE).read_text("utf-8"))
    return {name: entry["sha256"] for name, entry in record["files"].items()}


def _record(folder: Path) -> tuple[dict[str, str], dict[str, Json]]:
    return digests_of(folder), origin_of(folder)


def damage(folder: Path, *, full: bool = False) -> str | None:
    """Why a cached folder cannot be trusted, or None when it can.

    Sizes are always compared. A digest is computed again when a file's size or modification time is not that
    of the last full check, or always with `full`. A folder without `COMPLETE.json` was never finished.
    """
    if not folder.is_dir():
        return "it is not there"
    try:
        record = json.loads((folder / COMPLETE).read_text("utf-8"))
        expected = {name: (int(e["bytes"]), str(e["sha256"])) for name, e in record["files"].items()}
        dict(record["origin"])
    except FileNotFoundError:
        return f"{COMPLETE} is missing, so it was never finished"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{COMPLETE} cannot be read ({type(error).__name__})"
    for name, (size, _) in expected.items():
        target = folder / name
        if not target.is_file():
            return f"{name} is missing"
        if (found := target.stat().st_size) != size:
            return f"{name} has {found:,} bytes instead of {size:,}"
    stamped = {} if full else _read_stamp(folder)
    unseen = [name for name in expected if stamped.get(name) != _mark(folder / name)]
    for name in unseen:
        if sha256_file(folder / name) != expected[name][1]:
            return f"{name} does not have its recorded SHA-256"
    if unseen:
        # A shared cache may be read-only: then the digests are simply checked each time.
        with contextlib.suppress(OSError, StorageFault):
            _stamp(folder)
    return None


def _files(folder: Path) -> list[str]:
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in names if name not in (COMPLETE, STAMP))


def _mark(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


def _stamp(folder: Path) -> None:
    marks = {name: _mark(folder / name) for name in _files(folder)}
    write_atomic(folder / STAMP, json.dumps(marks, indent=1) + "\n")


def _read_stamp(folder: Path) -> dict[str, list[int]]:
    try:
        marks = json.loads((folder / STAMP).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return marks if isinstance(marks, dict) else {}


def _swap(temporary: Path, path: Path) -> None:
    if path.is_dir() and damage(path) is None and _record(path) == _record(temporary):
        return
    if path.exists():
        retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent))
        os.replace(path, retired / path.name)
        os.replace(temporary, path)
        shutil.rmtree(retired, ignore_errors=True)
    else:
        os.replace(temporary, path)


def sweep_abandoned(parent: Path) -> None:
    """Remove what killed processes left unfinished in a folder, a day later."""
    for leftover in parent.glob(f".*{_PARTIAL}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

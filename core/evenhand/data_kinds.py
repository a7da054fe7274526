"""Which files of a user are read: by the ending of the name in any case, packed or not, alone or in a folder."""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path
from typing import IO

from evenhand.errors import DataUnreadable

READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
SUFFIXES = (".txt", *READERS)
PACKED = ".gz"
KNOWN = f"read are {', '.join(SUFFIXES)}, all but the last also packed ({PACKED} behind it); and folders of such files"
SAVED = ("dataset_info.json", "dataset_dict.json")
"""What is in the folder of a data set that was saved with `save_to_disk`."""


def kind_of(name: str | Path) -> str | None:
    """The ending that says how a file is read: `.jsonl` of A.JSONL and of a.jsonl.gz; None for other files."""
    whole = str(name).lower()
    plain = whole.removesuffix(PACKED)
    found = next((suffix for suffix in SUFFIXES if plain.endswith(suffix)), None)
    return None if found == ".parquet" and plain != whole else found


def opened(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked."""
    packed = path.name.lower().endswith(PACKED)
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def opened_text(path: Path) -> IO[str]:
    """The text of a file in UTF-8, unpacked and without the mark of its byte order."""
    packed = path.name.lower().endswith(PACKED)
    return gzip.open(path, "rt", encoding="utf-8-sig") if packed else path.open(encoding="utf-8-sig")


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a data set that was saved with `save_to_disk`."""
    return any((folder / name).is_file() for name in SAVED)


def files_in(folder: Path) -> list[Path]:
    """The files of one kind that lie in a folder, in the order of their names; files of no kind do not count.

    Raises DataUnreadable for a folder without any, and for one with several kinds.
    """
    by_kind: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(folder.iterdir()):
        if (kind := kind_of(file)) and file.is_file() and not file.name.startswith("."):
            by_kind[kind].append(file)
    if not by_kind:
        raise DataUnreadable(
            "the folder has no file that can be read, and is no data set that was saved with `save_to_disk`",
            where=str(folder), known=KNOWN, do="name another folder, or a file",
        )  # fmt: skip
    if len(by_kind) > 1:
        raise DataUnreadable(
            "the folder has files of several kinds",
            where=str(folder), known=", ".join(f"{len(files)} {kind}" for kind, files in sorted(by_kind.items())),
            do="name the files that you mean, as a list",
        )  # fmt: skip
    return next(iter(by_kind.values()))


def unread(name: str, path: Path, what: str) -> DataUnreadable | None:
    """The error for a file or folder of no kind that is read; None for others."""
    if path.is_dir():
        try:
            return None if is_saved(path) or files_in(path) else None
        except DataUnreadable as error:
            return error
    if kind_of(path):
        return None
    return DataUnreadable(
        f"{what} {name!r} is there, and of no kind that can be read", known=KNOWN,
        do="save it as one of these: plain text as .txt, in which each line is a row",
    )  # fmt: skip

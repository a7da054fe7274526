"""Rows and lines of a user's own files, and a plain word where a file is not what its name says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import STORAGE_ERRORS
from evenhand.errors import DataNotFound, DataUnreadable

if TYPE_CHECKING:
    from datasets import Dataset

READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
SUFFIXES = (".txt", *READERS)


def lines_of(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, stripped, without empty ones. Raises DataUnreadable."""
    if problem := _wrong_byte(path):
        raise problem
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataUnreadable("the file cannot be opened", where=str(path), known=str(error.strerror)) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def rows_of(path: Path, split: str = "train") -> Dataset:
    """The rows of a .txt, .jsonl, .json, .csv, .tsv or .parquet file, or of a split of a saved data set's folder.

    Raises DataUnreadable, for JSON lines with the number of the line that is wrong; DataNotFound for another split.
    """
    from datasets import Dataset, load_dataset, load_from_disk

    if path.is_dir():
        with _reading(path, "no data set that was saved with `save_to_disk`"):
            saved: Any = load_from_disk(str(path))
        if not isinstance(saved, dict):
            return saved
        if split not in saved:
            known = f"its splits: {', '.join(saved)}"
            raise DataNotFound(f"it has no split {split!r}", where=str(path), known=known, do="set data.split")
        return saved[split]
    if path.suffix == ".txt":
        return Dataset.from_dict({"text": lines_of(path)})
    extra = {"sep": "\t"} if path.suffix == ".tsv" else {}
    with _reading(path, f"no {READERS[path.suffix].upper()} that can be read"):
        return load_dataset(READERS[path.suffix], data_files=str(path), split="train", **extra)


@contextlib.contextmanager
def _reading(path: Path, problem: str) -> Iterator[None]:
    """Readers raise errors of many libraries for a bad file; a reader needs the place, not the library."""
    import logging

    told = logging.getLogger("datasets.packaged_modules")
    level = told.level
    told.setLevel(logging.CRITICAL)  # it would write its own version of the error above ours
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in STORAGE_ERRORS:
            raise
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if place := _wrong_byte(path):
            raise place from error
        known = _bad_line(path) or f"{type(cause).__name__}: {' '.join(str(cause).split())[:160]}"
        raise DataUnreadable(f"this is {problem}", where=str(path), known=known, do="mend the file") from error
    finally:
        told.setLevel(level)


def _bad_line(path: Path) -> str:
    if path.suffix != ".jsonl":
        return ""
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError as error:
                return f"line {number} is not JSON: {error}"
            if not isinstance(found, dict):
                return f"line {number} is no object with named values"
    return ""


def _wrong_byte(path: Path) -> DataUnreadable | None:
    """The error for a text file that is not in UTF-8; None for one that is, and for other files."""
    if path.suffix == ".parquet" or not path.is_file():
        return None
    with contextlib.suppress(OSError), path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return DataUnreadable(
                    "the text is not in UTF-8",
                    where=str(path),
                    known=f"the first byte that is not stands in line {number}",
                    do="save it as UTF-8, or name the file that you meant",
                )
    return None

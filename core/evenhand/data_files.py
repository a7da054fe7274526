"""Rows and lines of a user's own files, and a plain word where a file is not what its name says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import STORAGE_ERRORS
from evenhand.errors import DataNotFound, DataUnreadable, UsageError

if TYPE_CHECKING:
    from datasets import Dataset

READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
SUFFIXES = (".txt", *READERS)
LARGE = 64 * 1024 * 1024
"""Bytes of a text file from which its lines are kept on disk, not in memory."""
BATCH = 1000
"""Rows of a stream that are read together."""
Fit = Callable[[Any], bool]
"""Whether a value of the text column counts as a row."""


def lines_of(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, stripped, without empty ones. Raises DataUnreadable."""
    if problem := _wrong_byte(path):
        raise problem
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataUnreadable("the file cannot be opened", where=str(path), known=str(error.strerror)) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def first_rows(path: Path, limit: int, column: str, fit: Fit) -> Dataset:
    """The rows of a file up to the one with which `limit` of them are fit, read as a stream, by blocks of some MB.

    A file without the column is read up to its `limit`-th row. Raises DataUnreadable, for what was read alone.
    """
    import pyarrow
    from datasets import Dataset, load_dataset

    if path.suffix == ".txt":
        return Dataset.from_dict({"text": list(islice(_lines(str(path)), limit))})
    extra = {"sep": "\t"} if path.suffix == ".tsv" else {}
    parts, found = [], 0
    with _reading(path, f"no {READERS[path.suffix].upper()} that can be read"):
        stream = load_dataset(READERS[path.suffix], data_files=str(path), split="train", streaming=True, **extra)
        for part in stream.with_format("arrow").iter(batch_size=BATCH):
            values = part[column].to_pylist() if column in part.column_names else [None] * len(part)
            good = [fit(value) or column not in part.column_names for value in values]
            counts = list(accumulate(good, initial=found))
            end = counts.index(limit) if counts[-1] >= limit else len(good)
            parts.append(part.slice(0, end))
            found = counts[end]
            if found == limit:
                break
        return Dataset(pyarrow.concat_tables(parts, promote_options="permissive"))


def demand_memory(path: Path, name: str) -> None:
    """UsageError for a file or folder that is larger than the memory of this machine."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size, memory = sum(file.stat().st_size for file in files), _memory()
    if memory is not None and size > memory:
        raise UsageError(
            f"the text has {size / 1e9:,.1f} GB, and this machine {memory / 1e9:,.1f} GB of memory",
            where=f"data {name!r}",
            known="a run keeps facts about every row, which together may need as much memory as the text itself",
            do="set data.limit: so many rows are read from its beginning, as a stream (shuffle a sorted file first)",
        )


def _memory() -> int | None:
    """Bytes of memory of this machine; None where the system does not say."""
    import os

    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _lines(path: str, stamp: tuple[int, int] | None = None) -> Iterator[str]:
    """The lines of a text file in UTF-8 one by one, stripped, without empty ones; `stamp` only names its state."""
    try:
        with open(path, encoding="utf-8-sig") as stream:
            for part in stream:
                yield from (line.strip() for line in part.splitlines() if line.strip())
    except UnicodeDecodeError:
        problem = _wrong_byte(Path(path))
        assert problem is not None
        raise problem from None
    except OSError as error:
        raise DataUnreadable("the file cannot be opened", where=path, known=str(error.strerror)) from error


def _rows_of_lines(path: str, stamp: tuple[int, int]) -> Iterator[dict[str, str]]:
    for line in _lines(path, stamp):
        yield {"text": line}


def rows_of(path: Path, split: str = "train") -> Dataset:
    """The rows of a .txt, .jsonl, .json, .csv, .tsv or .parquet file, or of a split of a saved data set's folder.

    Large files are kept on disk. Raises DataUnreadable, for JSON lines with the number of the line that is wrong;
    DataNotFound for another split.
    """
    from datasets import load_dataset, load_from_disk

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
        return _text_rows(path)
    extra = {"sep": "\t"} if path.suffix == ".tsv" else {}
    with _reading(path, f"no {READERS[path.suffix].upper()} that can be read"):
        return load_dataset(READERS[path.suffix], data_files=str(path), split="train", **extra)


def _text_rows(path: Path) -> Dataset:
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    known = path.stat()
    if known.st_size < LARGE:
        return Dataset.from_dict({"text": lines_of(path)})
    state = {"path": str(path.absolute()), "stamp": (known.st_size, known.st_mtime_ns)}
    try:
        return Dataset.from_generator(_rows_of_lines, gen_kwargs=state)
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, DataUnreadable):
            raise error.__cause__ from None
        raise


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

"""Rows and lines of a user's own files, and a plain word where a file is not what its name says."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from evenhand.cache import STORAGE_ERRORS
from evenhand.data_kinds import READERS, files_in, is_saved, kind_of, opened, opened_text
from evenhand.errors import DataNotFound, DataUnreadable, UsageError
from evenhand.half_surrogates import copied_without, has_halves

if TYPE_CHECKING:
    from datasets import Dataset

LARGE = 64 * 1024 * 1024
"""Bytes of a text file from which its lines are kept on disk, not in memory."""
BATCH = 1000
"""Rows of a stream that are read together."""
Fit = Callable[[Any], bool]
"""Whether a value of the text column counts as a row."""
TABS = {"sep": "\t", "quoting": csv.QUOTE_NONE}
"""In a .tsv a tab ends a field and a line a row, and a quotation mark is one: stray ones swallow rows elsewhere."""


@dataclass(frozen=True)
class Read:
    """The rows of files or of a saved data set."""

    rows: Dataset
    halved: Mapping[int, str] = field(default_factory=dict)
    """Rows in which half of a surrogate pair stood, and the lines that they were."""


def lines_of(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, stripped, without empty ones. Raises DataUnreadable."""
    if problem := _wrong_byte(path):
        raise problem
    try:
        with opened_text(path) as stream:
            text = stream.read()
    except (OSError, EOFError) as error:
        raise _cannot_open(path, error) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def first_rows(path: Path, limit: int, column: str, fit: Fit) -> Read:
    """The rows of a file, or of a folder's files, up to the one with which `limit` of them are fit, read as a stream,
    by blocks of some MB.

    A file without the column is read up to its `limit`-th row. Raises DataUnreadable, for what was read alone.
    """
    parts: list[Read] = []
    for file in files_in(path) if path.is_dir() else [path]:
        parts.append(_first_rows(file, limit, "text" if kind_of(file) == ".txt" else column, fit))
        limit -= _count_of(parts[-1], column, fit)
        if limit <= 0:
            break
    return _joined(parts)


def _count_of(read: Read, column: str, fit: Fit) -> int:
    if column not in read.rows.column_names:
        return len(read.rows)
    return sum(fit(value) for number, value in enumerate(read.rows[column]) if number not in read.halved)


def _first_rows(path: Path, limit: int, column: str, fit: Fit) -> Read:
    import pyarrow
    from datasets import Dataset, load_dataset

    kind = kind_of(path) or ""
    if kind == ".txt":
        return Read(Dataset.from_dict({"text": list(islice(_lines(str(path)), limit))}))
    _demand_names(path, kind)
    parts, found = [], 0
    try:
        with _reading(path, _no_such(kind)):
            stream = load_dataset(READERS[kind], data_files=str(path), split="train", streaming=True, **_extra(kind))
            for part in stream.with_format("arrow").iter(batch_size=BATCH):
                values = part[column].to_pylist() if column in part.column_names else [None] * len(part)
                good = [fit(value) or column not in part.column_names for value in values]
                counts = list(accumulate(good, initial=found))
                end = counts.index(limit) if counts[-1] >= limit else len(good)
                parts.append(part.slice(0, end))
                found = counts[end]
                if found == limit:
                    break
            return Read(Dataset(pyarrow.concat_tables(parts, promote_options="permissive")))
    except DataUnreadable:
        if kind != ".jsonl" or not has_halves(path):
            raise
    found = 0

    def enough(line: bytes) -> bool:
        nonlocal found
        found += fit(json.loads(line.decode("utf-8-sig")).get(column))
        return found == limit

    return _read_without_halves(path, enough)


def _no_such(kind: str) -> str:
    return f"no {READERS[kind].upper()} that can be read"


def _extra(kind: str) -> dict[str, Any]:
    return TABS if kind == ".tsv" else {}


def _joined(parts: Sequence[Read]) -> Read:
    """The rows of several files, one after another."""
    from datasets import concatenate_datasets

    if len(parts) == 1:
        return parts[0]
    halved: dict[int, str] = {}
    before = 0
    for part in parts:
        halved |= {before + number: line for number, line in part.halved.items()}
        before += len(part.rows)
    return Read(concatenate_datasets([part.rows for part in parts]), halved)


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
        with opened_text(Path(path)) as stream:
            for part in stream:
                yield from (line.strip() for line in part.splitlines() if line.strip())
    except UnicodeDecodeError:
        problem = _wrong_byte(Path(path))
        assert problem is not None
        raise problem from None
    except (OSError, EOFError) as error:
        raise _cannot_open(Path(path), error) from error


def _cannot_open(path: Path, error: Exception) -> DataUnreadable:
    known = str(getattr(error, "strerror", None) or error)
    return DataUnreadable("the file cannot be opened", where=str(path), known=known)


def _rows_of_lines(path: str, stamp: tuple[int, int]) -> Iterator[dict[str, str]]:
    for line in _lines(path, stamp):
        yield {"text": line}


def rows_of(path: Path, split: str = "train") -> Read:
    """The rows of a .txt, .jsonl, .json, .csv, .tsv or .parquet file, of a folder's files of one kind in the order of
    their names, or of a split of a saved data set's folder.

    Large files are kept on disk. Raises DataUnreadable, for JSON lines with the number of the line that is wrong, and
    for a folder with files of several kinds or of none; DataNotFound for another split.
    """
    from datasets import load_from_disk

    if not path.is_dir():
        return _rows_of_file(path)
    if not is_saved(path):
        return _joined([_rows_of_file(file) for file in files_in(path)])
    with _reading(path, "no data set that was saved with `save_to_disk`"):
        saved: Any = load_from_disk(str(path))
    if not isinstance(saved, dict):
        return Read(saved)
    if split not in saved:
        known = f"its splits: {', '.join(saved)}"
        raise DataNotFound(f"it has no split {split!r}", where=str(path), known=known, do="set data.split")
    return Read(saved[split])


def _rows_of_file(path: Path) -> Read:
    from datasets import load_dataset

    kind = kind_of(path) or ""
    if kind == ".txt":
        return Read(_text_rows(path))
    _demand_names(path, kind)
    try:
        with _reading(path, _no_such(kind)):
            return Read(load_dataset(READERS[kind], data_files=str(path), split="train", **_extra(kind)))
    except DataUnreadable:
        if kind != ".jsonl" or not has_halves(path):
            raise
    return _read_without_halves(path, lambda line: False)


def header_of(path: Path, kind: str) -> list[str] | None:
    """The names of the columns of a .csv or .tsv file; None for an empty one. Raises what reading it raises."""
    with opened_text(path) as stream:
        plain = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if kind == ".tsv" else csv.reader(stream)
        return next((row for row in plain if row), None)


def _demand_names(path: Path, kind: str) -> None:
    """Raise DataUnreadable for a table of which two columns have one name, since one of them would be lost."""
    if kind not in (".csv", ".tsv"):
        return
    first: list[str] = []
    with contextlib.suppress(OSError, EOFError, ValueError, csv.Error):
        first = header_of(path, kind) or []
    twice = sorted({name for name in first if name and first.count(name) > 1})
    if twice:
        raise DataUnreadable(
            f"two columns have the name {twice[0]!r}",
            where=f"{path}, line 1",
            known=f"its columns: {', '.join(first)}",
            do="give each column a name of its own",
        )


def _read_without_halves(path: Path, enough: Callable[[bytes], bool]) -> Read:
    """The rows of JSON lines in some of which half of a surrogate pair stands, up to a line that is enough."""
    from datasets import load_dataset

    with TemporaryDirectory() as place, _reading(path, _no_such(".jsonl")):
        copy = Path(place) / "rows.jsonl"
        halved = copied_without(path, copy, enough=enough)
        rows = load_dataset("json", data_files=str(copy), split="train", cache_dir=place, keep_in_memory=True)
        return Read(rows, halved)


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
        if _is_empty(path):
            raise no_rows(path) from error
        known = _bad_line(path) or f"{type(cause).__name__}: {' '.join(str(cause).split())[:160]}"
        raise DataUnreadable(f"this is {problem}", where=str(path), known=known, do="mend the file") from error
    finally:
        told.setLevel(level)


def _is_empty(path: Path) -> bool:
    """Whether there is nothing in a file but space, the names of its columns, or the brackets of a list."""
    if path.is_dir() or path.stat().st_size > LARGE:
        return False
    with contextlib.suppress(OSError, EOFError), opened_text(path) as stream:
        return is_empty(stream.read(), kind_of(path))
    return False


def is_empty(content: str, kind: str | None) -> bool:
    """Whether the whole content of a file of this kind holds no row."""
    content = content.strip()
    heading = kind in (".csv", ".tsv") and "\n" not in content
    return heading or content in ("", "[]")


def no_rows(path: Path) -> DataUnreadable:
    """The error for a file without rows."""
    return DataUnreadable("the file has no rows", where=str(path), do="name a file with rows")


def _bad_line(path: Path) -> str:
    if kind_of(path) != ".jsonl":
        return ""
    with contextlib.suppress(OSError, EOFError), opened_text(path) as stream:
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
    if kind_of(path) == ".parquet" or not path.is_file():
        return None
    with contextlib.suppress(OSError, EOFError), opened(path) as stream:
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

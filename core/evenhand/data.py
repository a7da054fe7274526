"""Training text from wherever the recipe says: shipped, a file, a saved data set, or the hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import DataNotFound, Offline

if TYPE_CHECKING:
    from datasets import Dataset

    from evenhand.recipe_model import DataSection

READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
BUILTIN = "builtin:"


@dataclass(frozen=True)
class Loaded:
    """A data set with the facts that the report needs."""

    rows: Dataset
    source: str
    digest: str
    """SHA-256 over the texts."""


def load_data(section: DataSection, *, offline: bool, base: Path | None = None) -> Loaded:
    """Read `[data]`; the text column is called `text` afterwards. Paths are relative to the recipe's folder or here.

    Raises `DataNotFound` with everything that was tried, `Offline` when only the hub could have it.
    """
    rows, source = _read(section.train, offline, base)
    if section.column not in rows.column_names:
        columns = ", ".join(rows.column_names)
        raise DataNotFound(
            f"the data set has no column {section.column!r}", where=f"data {section.train!r}",
            known=f"its columns: {columns}", do="set data.column",
        )  # fmt: skip
    if section.column != "text":
        rows = rows.rename_column(section.column, "text")
    rows = rows.filter(lambda row: isinstance(row["text"], str) and bool(row["text"].strip()))
    if section.limit is not None:
        rows = rows.select(range(min(section.limit, len(rows))))
    if not len(rows):
        raise DataNotFound("the data set has no row with text", where=f"data {section.train!r}")
    digest = hashlib.sha256()
    for text in rows["text"]:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return Loaded(rows, source, digest.hexdigest())


def read_texts(source: str, *, base: Path | None = None) -> list[str]:
    """Short texts such as prompts: shipped ones, or the lines of a text file."""
    if source.startswith(BUILTIN):
        from evenhand.builtin_texts import read

        return read(source.removeprefix(BUILTIN))
    path = _existing(source, base)
    if path is None:
        raise DataNotFound(f"there is no file {source!r}", do="name a text file, or builtin:prompts")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _read(name: str, offline: bool, base: Path | None) -> tuple[Dataset, str]:
    from datasets import Dataset, load_dataset, load_from_disk

    if name.startswith(BUILTIN):
        return Dataset.from_dict({"text": read_texts(name)}), f"{name} (shipped with evenhand)"
    path = _existing(name, base)
    if path is not None and path.is_dir():
        saved: Any = load_from_disk(str(path))
        return (saved["train"] if isinstance(saved, dict) else saved), f"folder {path.name}"
    if path is not None and path.suffix == ".txt":
        return Dataset.from_dict({"text": read_texts(str(path))}), f"file {path.name}"
    if path is not None and path.suffix in READERS:
        extra = {"sep": "\t"} if path.suffix == ".tsv" else {}
        return load_dataset(READERS[path.suffix], data_files=str(path), split="train", **extra), f"file {path.name}"
    tried = [f"no file or folder {name!r}" if path is None else f"{name!r} is no text, JSON, CSV or parquet file"]
    if "/" not in name and path is None or path is not None or name.startswith((".", "/", "~")):
        tried.append("it is no hub id (owner/name)")
        raise DataNotFound(f"training text {name!r} was not found", known="Tried: " + "; ".join(tried))
    if offline:
        raise Offline(f"training text {name!r} would have to be downloaded from the hub", do="run without --offline")
    try:
        return load_dataset(name, split="train"), f"hub {name}"
    except Exception as error:
        tried.append(f"the hub: {type(error).__name__}: {str(error).splitlines()[0][:160]}")
        raise DataNotFound(f"training text {name!r} was not found", known="Tried: " + "; ".join(tried)) from error


def _existing(name: str, base: Path | None) -> Path | None:
    places = [Path(name).expanduser()] + ([base / name] if base else [])
    return next((p for p in places if p.exists()), None)

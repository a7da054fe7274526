"""Training text from wherever the recipe says: shipped, published files, a file, a saved data set, or the hub."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.chat_rows import is_chat, texts_of
from evenhand.errors import DataNotFound, DataUnreadable, Offline
from evenhand.half_surrogates import REASON as HALVED
from evenhand.row_sources import RowSources, Source

if TYPE_CHECKING:
    from datasets import Dataset

    from evenhand.data_files import Read
    from evenhand.recipe_model import DataSection

BUILTIN = "builtin:"
MIRROR = "mirror:"
CHATS = "evenhand chats"
"""What the column of chats is called while its texts are added."""


@dataclass(frozen=True)
class Refused:
    """A row of the data that holds no text."""

    source: str
    row: int
    """From 0, in its source."""
    reason: str
    text: str
    """What stands in its place."""


@dataclass(frozen=True)
class Loaded:
    """A data set with the facts that the report needs."""

    rows: Dataset
    source: str
    digest: str
    """SHA-256 over the texts."""
    licence: str
    """As its source states it; empty when it states none."""
    refused: list[Refused] = field(default_factory=list)
    """Rows that cannot be learnt from; `rows` are all others."""
    sources: RowSources = field(default_factory=lambda: RowSources(()))
    """Where each of the rows stands."""


def load_data(
    section: DataSection,
    *,
    offline: bool,
    folders: Sequence[Path] = (),
    mirrors: str | None = None,
    tokenizer: Any = None,
) -> Loaded:
    """Read `[data]`; the text column is called `text` afterwards, in the place of another one of that name, and of
    several sources only that column is kept.

    A column of chats (lists of turns with `role` and `content`) becomes text by the template of the `tokenizer`;
    without it, chats are no text.

    Paths are relative to `folders`, those of the recipe, or here. With `limit`, files are read as streams, so that one
    that is larger than memory can be used; without, such a file is refused.

    `mirrors` is the folder of benchmark files; else `EVENHAND_DATA` names it.

    Raises `DataNotFound` with everything that was tried, `DataUnreadable` for a file that is not what its name says,
    `Offline` when only the hub could have it.
    """
    from datasets import Value, concatenate_datasets

    parts = [(name, *_read(name, section, offline, folders, mirrors)) for name in section.sources]
    refused: list[Refused] = []
    alone = len(parts) == 1
    texts, sources = [], []
    for name, read, _, _ in parts:
        own: list[Refused] = []
        texts.append(_with_text(name, read, section.column, own, tokenizer, alone=alone))
        sources.append(Source(name, len(texts[-1]), [row.row for row in own]))
        refused += own
    if len(parts) > 1:
        texts = [part.select_columns("text").cast_column("text", Value("string")) for part in texts]
    rows = texts[0] if len(parts) == 1 else concatenate_datasets(texts)
    source = " and ".join(source for _, _, source, _ in parts)
    licence = ", ".join(dict.fromkeys(licence for *_, licence in parts if licence))
    if section.limit is not None:
        rows = rows.select(range(min(section.limit, len(rows))))
    digest = hashlib.sha256()
    for text in rows["text"]:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return Loaded(rows, source, digest.hexdigest(), licence, refused, RowSources(tuple(sources)))


def _with_text(name: str, read: Read, column: str, refused: list[Refused], tokenizer: Any, *, alone: bool) -> Dataset:
    """The rows that have text, its column called `text`; beside other sources, plain lines are text in any case.

    Those that have none go to `refused`.
    """
    rows = read.rows
    if not alone and rows.column_names == ["text"]:
        column = "text"
    if column not in rows.column_names:
        raise no_column(name, column, rows.column_names)
    chats = None
    if tokenizer is not None and getattr(rows.features[column], "dtype", "") != "string":
        chats = texts_of(rows[column][:], tokenizer, where=f"data {name!r}")
    good = []
    for number, text in enumerate(rows[column]):
        if number in read.halved:
            refused.append(Refused(name, number, HALVED, read.halved[number]))
        elif reason := chats[number][1] if chats is not None else why_no_text(text):
            refused.append(Refused(name, number, reason, "" if text is None else str(text)[:200]))
        else:
            good.append(number)
    if not good:
        raise _nothing(name, rows, column, refused)
    if column != "text":
        rows = rows.remove_columns("text") if "text" in rows.column_names else rows
        rows = rows.rename_column(column, "text")
    if chats is not None:
        texts: Any = [text for text, _ in chats]
        rows = rows.rename_column("text", CHATS).add_column("text", texts).remove_columns(CHATS)
    return rows.select(good) if refused else rows


def _nothing(name: str, rows: Dataset, column: str, refused: Sequence[Refused]) -> DataNotFound:
    """The error for a source in which no row has text, with why not."""
    counts = Counter(row.reason for row in refused)
    known = [f"{n:,} of {len(rows):,} rows: {reason}" for reason, n in counts.most_common()] or ["it has no rows"]
    texts = [c for c, kind in rows.features.items() if getattr(kind, "dtype", "") == "string" and c != column]
    if texts:
        known.append(f"columns of text: {', '.join(texts)}")
    do = "set data.column" if texts else ""
    return DataNotFound("the data set has no row with text", where=f"data {name!r}", known="; ".join(known), do=do)


def no_column(name: str, column: str, columns: Sequence[str]) -> DataNotFound:
    """The error for a source without the column that `data.column` names."""
    return DataNotFound(
        f"the data set has no column {column!r}", where=f"data {name!r}",
        known=f"its columns: {', '.join(columns)}", do="set data.column",
    )  # fmt: skip


def why_no_text(value: Any) -> str:
    """Why a value is nothing that a model could learn from; empty for a text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "no text"
    return "" if isinstance(value, str) else f"not text but {type(value).__name__}"


def read_texts(source: str, *, folders: Sequence[Path] = (), what: str = "text") -> list[str]:
    """Short texts such as prompts: shipped ones, or the lines of a text file. Raises DataNotFound, DataUnreadable."""
    if source.startswith(BUILTIN):
        from evenhand.builtin_texts import read

        return read(source)
    path, tried = find(source, folders)
    if path is None or not path.is_file():
        raise DataNotFound(
            f"{what} {source!r} was not found", known=_tried(tried), do="name a text file, or one of builtin:"
        )
    from evenhand.data_files import lines_of

    return lines_of(path)


def find(name: str, folders: Sequence[Path]) -> tuple[Path | None, list[str]]:
    """The file or folder of this name, from here or from the recipe's folders, and where it was looked for."""
    given = Path(name).expanduser()
    distinct: dict[Path, Path] = {}
    for folder in (Path(), *folders):
        distinct.setdefault(folder.resolve(), folder)
    places = [given] if given.is_absolute() else [folder / given for folder in distinct.values()]
    found = next((p for p in places if p.exists()), None)
    return found, [f"no file or folder {str(p.absolute())!r}" for p in places if found is None]


def missing(
    name: str, folders: Sequence[Path], *, what: str, mirrors: str | None = None
) -> DataNotFound | DataUnreadable | None:
    """The error for text that certainly is not there, or of no kind that is read, told without asking any network;
    None when it may be."""
    if name.startswith(MIRROR):
        from evenhand import mirrored_texts

        return mirrored_texts.missing(name, mirrors)
    if name.startswith(BUILTIN):
        from evenhand.builtin_texts import names, unknown

        return None if name.removeprefix(BUILTIN) in names() else unknown(name)
    path, tried = find(name, folders)
    if path is not None:
        from evenhand.data_kinds import unread

        return unread(name, path, what)
    if _may_be_on_hub(name):
        return None
    tried.append("hub: not asked, because it is no hub id (owner/name)")
    return DataNotFound(
        f"{what} {name!r} was not found", known=_tried(tried), do="name a file, a folder, a hub id, or builtin:everyday"
    )


def _tried(tried: list[str]) -> str:
    return "\n    ".join(["tried, in order:", *tried])


def _may_be_on_hub(name: str) -> bool:
    from evenhand.data_kinds import kind_of

    plain = not name.startswith((".", "/", "~")) and kind_of(name) is None
    return plain and name.count("/") == 1 and all(name.split("/"))


def _read(
    name: str, section: DataSection, offline: bool, folders: Sequence[Path], mirrors: str | None
) -> tuple[Read, str, str]:
    """The rows of one source, where they are from, and their licence."""
    from datasets import Dataset

    from evenhand.data_files import Read

    if problem := missing(name, folders, what="training text", mirrors=mirrors):
        raise problem
    if name.startswith(MIRROR):
        from evenhand import mirrored_texts

        texts = mirrored_texts.read(name, mirrors)
        return Read(Dataset.from_dict({"text": texts})), f"{name} (published files)", mirrored_texts.licence(name)
    if name.startswith(BUILTIN):
        return Read(Dataset.from_dict({"text": read_texts(name)})), f"{name} (shipped with evenhand)", "Apache-2.0"
    path, tried = find(name, folders)
    if path is not None:
        return _from_disk(path, name, section), f"{'folder' if path.is_dir() else 'file'} {path.name}", ""
    rows, source, licence = _from_hub(name, section, offline, tried)
    return Read(rows), source, licence


def _from_disk(path: Path, name: str, section: DataSection) -> Read:
    """The rows of a file or folder; with a limit, files are read as streams and no further."""
    from evenhand.data_files import demand_memory, first_rows, rows_of
    from evenhand.data_kinds import is_saved

    if section.limit is not None and not is_saved(path):
        return first_rows(path, section.limit, section.column, lambda value: not why_no_text(value) or is_chat(value))
    if section.limit is None:
        demand_memory(path, name)
    return rows_of(path, section.split)


def _from_hub(name: str, section: DataSection, offline: bool, tried: list[str]) -> tuple[Dataset, str, str]:
    from evenhand import hub

    rows = hub.cached_data(name, section.config, section.split)
    if rows is not None:
        return rows, f"hub {name} (copy on this machine)", ""
    tried.append("hub cache: no copy on this machine")
    if offline or hub.switched_off():
        why = "the run is off-line" if offline else "HF_HUB_OFFLINE is set"
        raise Offline(
            f"it would have to be downloaded from the hub, and {why}",
            where=f"training text {name!r}", known=_tried(tried), do="run once on-line, or name a file",
        )  # fmt: skip
    try:
        rows, licence = hub.download_data(name, section.config, section.split)
    except hub.NotOnHub as reason:
        tried.append(f"hub: {reason}")
        raise DataNotFound(
            f"training text {name!r} was not found", known=_tried(tried),
            do="name a file, a folder or a hub id; data.config and data.split choose a part of hub data",
        ) from reason  # fmt: skip
    return rows, f"hub {name}", licence

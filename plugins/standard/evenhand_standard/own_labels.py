"""Labelled texts of one's own: a table with the columns `text`, `label`, and, if there is one, `id`.

    text,label,dialect
    "a kind word",0,northern
    "a cruel word",1,

`label` is 1 or 0 (or true or false). Every further column is an axis, and its values are the groups of the texts; an
empty one says that the text has no group on it. Texts are read as they are, and all of them are kept: copies of a text
are in one part, and are judged by a head that has seen none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from evenhand_sdk import PathOption, UsageError
from evenhand_standard.labelled_texts import LabelledText, Part, key_of, part_of
from evenhand_standard.own_rows import OwnTable, readable

LABELS: Final[Mapping[str, bool]] = {"1": True, "0": False, "true": True, "false": False}
NO_AXES: Final = ("text", "label", "id", "")
FOLDS: Final = 5
"""Parts of the measured texts, each of which is judged by a head that was fitted to the others."""
LEAST: Final[Mapping[Part, int]] = {"training": 1, "measuring": FOLDS}
"""So many different texts of each label a part must have."""
DO = "write a table with the columns text and label (1 or 0), and, if you like, id and one for each axis of groups"


def own_texts(path: str) -> list[LabelledText]:
    """The texts of a table, in its order. Raises UsageError for a missing column, for the first row that is no labelled
    text, with its number, and for a table with one label."""
    table = OwnTable(path, "labelled text", DO)
    found: list[LabelledText] = []
    ids: set[str] = set()
    for number, row in table.rows():
        text, label = table.column("text", row), table.column("label", row)
        if not isinstance(text, str) or not text.strip():
            raise table.wrong("text is empty", row=number)
        name = str(row.get("id") or row.get("") or number)
        if name in ids:
            raise table.wrong(f"there is a text {name!r} already", row=number)
        ids.add(name)
        groups = {axis: _group(table, number, axis, value) for axis, value in row.items() if axis not in NO_AXES}
        found.append(
            LabelledText(
                id=name,
                text=text.strip(),
                positive=_label(table, number, label),
                groups={axis: group for axis, group in groups.items() if group},
                same=key_of(text),
            )
        )
    if not found:
        raise table.wrong("it has no texts")
    if len({text.positive for text in found}) == 1:
        raise table.wrong(f"all of its texts have the label {int(found[0].positive)}")
    return found


def own_part(path: str, part: Part) -> list[LabelledText]:
    """The texts of a part, those with the label 0 first, so that folds of neighbours have both. Raises UsageError."""
    return sorted((text for text in own_texts(path) if part_of(text.same) == part), key=lambda text: text.positive)


def own_axes(texts: Sequence[LabelledText]) -> dict[str, list[str]]:
    """The axes of the texts, in order of appearance, with their groups by name."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for axis, group in text.groups.items():
            found.setdefault(axis, set()).add(group)
    return {axis: sorted(groups) for axis, groups in found.items()}


def file_digest(path: str) -> str:
    """SHA-256 of a file as it is."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def learnable(path: str) -> str:
    """The path, where both parts of the texts have enough of both labels; ValueError says what is wrong otherwise."""
    try:
        _demand_both(path, own_texts(path))
    except UsageError as error:
        raise ValueError(str(error).replace("\n", "\n    ")) from error
    return path


def _demand_both(path: str, texts: Sequence[LabelledText]) -> None:
    for part, least in LEAST.items():
        counts = [
            len({t.same for t in texts if t.positive is label and part_of(t.same) == part}) for label in (True, False)
        ]
        if min(counts) < least:
            raise UsageError(
                f"its {part} part has {counts[0]} different texts with the label 1 and {counts[1]} with 0, and needs "
                f"{least} of each",
                where=path,
                known="a quarter of the texts, by a hash of the text, is for training, all others are measured, in "
                f"{FOLDS} folds",
                do="add texts",
            )


def _label(table: OwnTable, number: int, value: Any) -> bool:
    told = str(value).strip().lower() if isinstance(value, str | int) else ""
    if told not in LABELS:
        raise table.wrong(f"label is {value!r}", f"known: {', '.join(LABELS)}", row=number)
    return LABELS[told]


def _group(table: OwnTable, number: int, axis: str, value: Any) -> str:
    if isinstance(value, list | dict):
        raise table.wrong(f"{axis} is {value!r}, which names no group", row=number)
    return "" if value is None else str(value).strip()


LabelsFile = Annotated[
    Annotated[PathOption, AfterValidator(readable), AfterValidator(learnable)] | None,
    Field(description="Own labelled texts in place of the tweets: a table with text and label (.csv, .tsv, .jsonl)."),
]
"""None: the published tweets."""

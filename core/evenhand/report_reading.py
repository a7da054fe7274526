"""Read `run.json`: strict about text, lenient about absence, and clear about what is wrong with a folder.

Control characters, bidirectional overrides and lone surrogates, which could forge lines, hide words or break
the encoding of the report, are replaced in every string.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from evenhand.errors import RunNotFound
from evenhand.report_record import SCHEMA, RunRecord

_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def read_run(folder: Path | str) -> RunRecord:
    """The record of a run folder; raises RunNotFound when it has none that can be read."""
    return parse_run(raw_run(folder), where=str(folder))


def raw_run(folder: Path | str) -> dict[str, Any]:
    """run.json of a run folder as it stands there; raises RunNotFound when it is missing, damaged or too new."""
    folder = Path(folder)
    path = folder / "run.json"
    again = "name the folder that `toolkit run` or `toolkit eval` printed; it holds run.json and report.html"
    if folder.is_file():
        inside = (folder.parent / "run.json").is_file()
        do = f"name the folder it lies in: {folder.parent}" if inside else again
        raise RunNotFound("this is a file, not a run folder", where=str(folder), do=do)
    if not path.is_file():
        known = "the folder exists but has no run.json" if folder.is_dir() else "there is no such folder"
        raise RunNotFound("not a run folder", where=str(folder), known=known, do=again)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise RunNotFound(f"run.json is damaged: {problem}", where=str(folder), do=again) from problem
    if not isinstance(raw, dict):
        raise RunNotFound("run.json is damaged: it is no object", where=str(folder), do=again)
    if not raw.get("status"):
        raise RunNotFound(
            "run.json is damaged: it does not say how the run ended (status)", where=str(folder), do=again
        )
    version = raw.get("schema", SCHEMA)
    if isinstance(version, int) and version > SCHEMA:
        raise RunNotFound(
            f"run.json has schema {version}, and this version of evenhand reads up to {SCHEMA}",
            where=str(folder),
            do="update evenhand: pip install -U evenhand",
        )
    return raw


def parse_run(raw: object, *, where: str = "run.json") -> RunRecord:
    """The record in decoded JSON; raises RunNotFound when its parts are not of the stated shape."""
    try:
        return RunRecord.model_validate(cleaned(raw))
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise RunNotFound(f"run.json is damaged: {place}: {first['msg']}", where=where) from problem


_T = TypeVar("_T")


def cleaned(value: _T) -> _T:
    """The same JSON value without characters that cannot be shown, or that change how others are shown."""
    if isinstance(value, str):
        return _clean_text(value)  # type: ignore[return-value]
    if isinstance(value, dict):
        return {_clean_text(str(k)): cleaned(v) for k, v in value.items()}  # type: ignore[return-value]
    if isinstance(value, list):
        return [cleaned(v) for v in value]  # type: ignore[return-value]
    return value


def _clean_text(text: str) -> str:
    return "".join(
        "\ufffd" if c in _BIDIRECTIONAL or (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t") else c
        for c in text.replace("\r\n", "\n")
    )

"""A parsed TOML table as text again, for recipes that are put together from several files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_document(table: Mapping[str, Any]) -> str:
    """The text of a document: plain values first, then each table, each list of tables entry by entry."""
    plain = {key: value for key, value in table.items() if not _is_table(value) and not _are_tables(value)}
    parts = ["".join(f"{toml_key(k)} = {toml_literal(v)}\n" for k, v in plain.items())] if plain else []
    for key, value in table.items():
        for entry in [value] if _is_table(value) else value if _are_tables(value) else []:
            head = f"[{toml_key(key)}]" if _is_table(value) else f"[[{toml_key(key)}]]"
            parts.append("\n".join([head, *(f"{toml_key(k)} = {toml_literal(v)}" for k, v in entry.items())]) + "\n")
    return "\n".join(parts)


def toml_literal(value: Any) -> str:
    """A value of a parsed table in one line of TOML; tables within it stand inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_key(k)} = {toml_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_literal(item) for item in value) + "]"
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return repr(value)


def toml_key(key: str) -> str:
    """A key, quoted where it must be."""
    return key if _BARE.fullmatch(key) else toml_literal(key)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_table(entry) for entry in value)

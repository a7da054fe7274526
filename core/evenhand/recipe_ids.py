"""The ids of steps and benchmarks: given, or made from the plugin's name."""

from __future__ import annotations

import re
from typing import Any

from evenhand.wording import toml_value

_ID = re.compile(r"[A-Za-z0-9_-]+")


def give_ids(table: dict[str, Any], name: str) -> list[str]:
    """Writes an id into every entry of a list that has none: the plugin's name, with -2, -3 behind it where taken.

    Returns the problems with the ids that are given.
    """
    if not isinstance(table.get(name, []), list) or not all(isinstance(e, dict) for e in table.get(name, [])):
        return []  # reported where the entries are read
    problems, taken = [], dict[str, int]()
    for position, entry in enumerate(table.get(name, []), 1):
        ident = entry.get("id")
        if ident is None:
            continue
        place = f"{name}[{position}].id"
        if not isinstance(ident, str) or not _ID.fullmatch(ident):
            problems.append(f"{place}: {toml_value(ident)} is no id; use letters, digits, - and _")
        elif ident in taken:
            problems.append(f"{place}: {ident!r} is already the id of {name}[{taken[ident]}]")
        else:
            taken[ident] = position
    for position, entry in enumerate(table.get(name, []), 1):
        use = entry.get("use")
        if "id" in entry or not isinstance(use, str):
            continue
        wanted = re.sub(r"[^A-Za-z0-9_-]+", "-", use.rpartition(":")[2]) or "step"
        ident, number = wanted, 1
        while ident in taken:
            number += 1
            ident = f"{wanted}-{number}"
        taken[ident] = position
        entry["id"] = ident
    return problems

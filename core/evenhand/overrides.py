"""`--set steps.ID.key=value`: values of a recipe that are given on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from evenhand.near_match import did_you_mean
from evenhand.recipe_model import LISTS, SECTIONS


def apply_overrides(table: dict[str, Any], overrides: Sequence[str], sections: Sequence[str] = ()) -> list[str]:
    """Writes the values into a parsed recipe whose steps have ids; returns the problems.

    With `sections`, only these can be written to, and any other key is one of a benchmark: `crows-pairs.limit`.
    """
    problems = []
    for override in overrides:
        key, equals, text = override.partition("=")
        where = f"--set {override}"
        if not equals:
            problems.append(f"{where}: write key=value, such as steps.ID.strength=0.5")
            continue
        try:
            value = override_value(text)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        parts = [part.strip() for part in key.split(".")]
        if sections and parts[0] not in (*sections, "benchmarks"):
            parts = ["benchmarks", *parts]
        problem = write_value(table, parts, value)
        if problem:
            problems.append(f"{where}: {problem}")
    return problems


def override_value(text: str) -> Any:
    """A value in TOML; a bare word is text, so that `--set model.name=owner/name` needs no quotes.

    Raises ValueError when a quoted, listed or tabled value does not end.
    """
    text = text.strip()
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        if text[:1] in ("'", '"', "[", "{"):
            raise ValueError(f"{text} is no complete TOML value") from None
        return text
    return parsed["value"] if list(parsed) == ["value"] else text


def write_value(table: dict[str, Any], parts: Sequence[str], value: Any) -> str | None:
    """Writes one value at the place that the parts of its key lead to; None, or why there is no such place."""
    head, rest = parts[0], list(parts[1:])
    if head in LISTS:
        return _write_entry(table, head, rest, value)
    if head not in SECTIONS:
        for name in LISTS:
            if rest and head in _ids(table, name):
                return f"unknown section {head!r}; did you mean {'.'.join((name, *parts))!r}?"
        return f"unknown section {head!r}{did_you_mean(head, [*SECTIONS, *LISTS])}"
    fields = list(SECTIONS[head].model_fields)
    if len(rest) != 1:
        return f"name one key of [{head}]: {', '.join(f'{head}.{field}' for field in fields)}"
    if rest[0] not in fields:
        return f"unknown key {head}.{rest[0]}{did_you_mean(rest[0], fields)} (known: {', '.join(fields)})"
    section = table.setdefault(head, {})
    if not isinstance(section, dict):
        return None  # reported once, as a problem of the section itself
    section[rest[0]] = value
    return None


def _write_entry(table: dict[str, Any], head: str, rest: list[str], value: Any) -> str | None:
    entries, ids = _entries(table, head), _ids(table, head)
    if len(rest) < 2 or not all(rest):
        return f"write {head}.ID.key=value (ids: {', '.join(ids) or 'none'})"
    if rest[0] not in ids:
        return f"no id {rest[0]!r} in [[{head}]]{did_you_mean(rest[0], ids)} (ids: {', '.join(ids) or 'none'})"
    if rest[1] == "id":
        return "an id cannot be changed here, because other steps may refer to it"
    target = entries[ids.index(rest[0])]
    for part in rest[1:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            return f"{'.'.join([head, *rest[:-1]])} is no table"
    target[rest[-1]] = value
    return None


def _entries(table: Mapping[str, Any], head: str) -> list[dict[str, Any]]:
    """The entries of a list of the recipe, as far as they can be read."""
    found = table.get(head)
    return [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []


def _ids(table: Mapping[str, Any], head: str) -> list[str]:
    return [str(entry.get("id")) for entry in _entries(table, head)]

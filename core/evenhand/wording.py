"""Validation errors in plain words: `steps[2].strength: 1.5 is not at most 1`.

Places count from 1, as a reader of the file does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from evenhand.near_match import did_you_mean
from evenhand.option_paths import context_of

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)

_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_NOUNS = {
    "float": "a number",
    "int": "a whole number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a table",
    "model": "a table",
    "finite_number": "a finite number",
    "date": "a date",
    "datetime": "a date and time",
    "path": "a path",
    "none_required": "empty",
}


def validated(
    model: type[Model], raw: Mapping[str, Any], place: str, *, noun: str = "option", folders: Sequence[Path] = ()
) -> tuple[Model | None, list[str]]:
    """Validates a table of a recipe: the model, or None and every problem in words; `folders` are those in which its
    paths are looked for, beside the current one.

    TOML values are validated as JSON and strictly: "0.5" is no number, but a list serves for a tuple.
    """
    try:
        text = json.dumps(raw, default=lambda value: value.isoformat())
        return model.model_validate_json(text, strict=True, context=context_of(folders)), []
    except ValidationError as error:
        return None, in_words(error, raw, place, known=list(model.model_fields), noun=noun)


def in_words(
    error: ValidationError, raw: Mapping[str, Any], place: str, *, known: Sequence[str], noun: str = "option"
) -> list[str]:
    """One line a problem; the failed alternatives of a union are joined into one line."""
    grouped: dict[str, tuple[str, list[str]]] = {}
    details = error.errors(include_url=False)
    inner = {detail["loc"][:-1] for detail in details}
    for detail in details:
        if detail["type"] == "too_short" and detail["loc"] in inner:
            continue  # a list whose only entry is wrong counts as an empty one
        value, path, whole = _locate(raw, detail)
        if detail["type"] == "extra_forbidden":
            top = len(detail["loc"]) == 1
            near = did_you_mean(str(detail["loc"][-1]), known) if top else ""
            listed = f" (known: {', '.join(known) or 'none'})" if top else ""
            grouped.setdefault(place + path, ("", []))[1].append(f"unknown {noun}{near}{listed}")
        elif detail["type"] == "missing" and whole:
            grouped.setdefault(place + path, ("", []))[1].append("is required")
        else:
            subject, predicate = _sentence(detail, value)
            grouped.setdefault(place + path, (subject, []))[1].append(predicate)
    for subject, parts in grouped.values():
        if parts == ["is not a list"] and subject.startswith("'"):
            parts[0] += f"; write [{json.dumps(subject[1:-1], ensure_ascii=False)}]"
    return [_line(where, subject, parts) for where, (subject, parts) in grouped.items()]


def toml_value(value: Any) -> str:
    """A value as its author wrote it, cut to a readable length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _line(where: str, subject: str, parts: Iterable[str]) -> str:
    where = where.removeprefix(".")
    text = f"{subject} {', and '.join(dict.fromkeys(parts))}".strip()
    return f"{where}: {text}" if where else text


def _locate(raw: Any, detail: ErrorDetails) -> tuple[Any, str, bool]:
    """The value an error is about, its path, and whether the whole location is a path of the table.

    Locations hold tags of union members besides keys and positions; only what leads into the table is kept.
    """
    path, value, loc = "", raw, detail["loc"]
    for depth, step in enumerate(loc):
        if isinstance(value, Mapping) and isinstance(step, str) and step in value:
            path, value = f"{path}.{step}", value[step]
        elif isinstance(value, Sequence) and isinstance(step, int) and step < len(value):
            path, value = f"{path}[{step + 1}]", value[step]
        elif detail["type"] == "missing" and depth == len(loc) - 1 and isinstance(value, Mapping):
            return value, f"{path}.{step}", True
        else:
            return value, path, False
    return value, path, True


def _sentence(detail: ErrorDetails, value: Any) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    shown = toml_value(value)
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        limit = context[key]
        return shown, f"is not {words} {limit:g}" if isinstance(limit, (int, float)) else f"is not {words} {limit}"
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", context["expected"])
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        return shown, f"is not {context['expected']}{near}"
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        limit = context.get("min_length", context.get("max_length"))
        return (
            shown,
            f"is too {kind.rsplit('_', 1)[1]} ({'at least' if 'short' in kind else 'at most'} {limit})",
        )
    if kind in ("value_error", "assertion_error"):
        return "", str(context.get("error", detail["msg"]))
    if kind == "string_pattern_mismatch":
        return shown, f"does not match {context['pattern']}"
    noun = _NOUNS.get(kind) or _NOUNS.get(re.sub(r"_(type|parsing|from_float|from_number|unicode)$", "", kind))
    if noun:
        return shown, f"is not {noun}"
    return shown, f"is not accepted: {detail['msg'][:1].lower()}{detail['msg'][1:]}"

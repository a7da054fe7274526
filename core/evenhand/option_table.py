"""The options of a plugin as rows for a reader: name, what may be given, default, meaning."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from pydantic import BaseModel

_WORDS = {
    "number": "number",
    "integer": "whole number",
    "string": "text",
    "boolean": "true or false",
    "object": "table",
    "null": "nothing",
}
MANY, SOME = 8, 1
"""Of more choices than the first number, so many are named in a table."""
_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}


@dataclass(frozen=True)
class OptionRow:
    """One option of a step or of a section."""

    name: str
    accepts: str
    """What may be given, such as `number, at least 0, at most 1`."""
    default: str
    """In TOML; `required` when there is none, empty when nothing is the default."""
    meaning: str


def option_table(model: type[BaseModel]) -> list[OptionRow]:
    """The fields of a model of options, in the order of their declaration."""
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    docstrings = option_docstrings(model)
    return [
        OptionRow(
            name=name,
            accepts=_accepts(entry, schema.get("$defs", {})),
            default="required" if name in required else toml_text(entry.get("default")),
            meaning=" ".join(str(entry.get("description") or docstrings.get(name, "")).split()),
        )
        for name, entry in schema.get("properties", {}).items()
    ]


def option_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The strings that stand under the fields of a model, in its class or in one that it derives from."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if not issubclass(part, BaseModel) or part is BaseModel:
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
        except (OSError, SyntaxError):
            continue  # made without a source file, for example in a notebook or by create_model
        body = getattr(tree.body[0], "body", [])
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(text):
                found[field.target.id] = inspect.cleandoc(text.value.value)
    return found


def _is_text(node: ast.stmt) -> TypeGuard[Any]:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def toml_text(value: Any) -> str:
    """A plain value as TOML writes it; empty for None, which TOML cannot write."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml_text(item)}" for key, item in value.items()) + " }"
    return str(value)


def _accepts(entry: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in entry:
        return _accepts(definitions.get(entry["$ref"].rpartition("/")[2], {}), definitions)
    if "enum" in entry:
        choices = [toml_text(choice) for choice in entry["enum"]]
        if len(choices) > MANY:  # a name that is none of them is told all of them
            return f"{' or '.join(choices[:SOME])} or one of {len(choices) - SOME} more"
        return " or ".join(choices)
    if "const" in entry:
        return toml_text(entry["const"])
    if "anyOf" in entry:
        given = [_accepts(choice, definitions) for choice in entry["anyOf"] if choice.get("type") != "null"]
        return " or ".join(given)
    if entry.get("type") == "array":
        return f"list of {_accepts(entry.get('items', {}), definitions)}"
    limits = [f"{words} {entry[key]:g}" for key, words in _LIMITS.items() if key in entry]
    return ", ".join([_WORDS.get(str(entry.get("type")), "anything"), *limits])

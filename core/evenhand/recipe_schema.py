"""The JSON Schema of a recipe: the sections, and one variant of a step for each plugin that can be loaded.

Editors complete and check recipes with it (`toolkit schema > recipe.schema.json`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from evenhand.discovery import BUILT_IN, Catalogue, PluginRow, load
from evenhand.errors import BrokenPlugin, EvenhandError, IncompatiblePlugin
from evenhand.option_table import option_docstrings
from evenhand.recipe_base import KEY as EXTENDS
from evenhand.recipe_model import EXPECT, SECTIONS, Expectation, TrainingSection

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ID = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "description": "Default: the name of the plugin."}
_STEP_KEYS: dict[str, Any] = {
    "active": {
        "type": "boolean",
        "description": "Default: false exactly when another step refers to this one.",
    },
    "allow_no_effect": {
        "type": "boolean",
        "default": False,
        "description": "Let the run go on when the step changed nothing.",
    },
}


def recipe_schema(catalogue: Catalogue) -> tuple[dict[str, Any], list[EvenhandError]]:
    """The schema, and the error of each plugin that had to be left out.

    Every plugin module is imported, each in isolation: one that fails is left out and harms no other.
    """
    definitions: dict[str, Any] = {}
    steps = [_variant([BUILT_IN], TrainingSection, "The built-in training.", definitions, step=True)]
    benchmarks: list[dict[str, Any]] = []
    failures: list[EvenhandError] = []
    for row in catalogue.rows:
        try:
            plugin = load(catalogue.find(_full_name(row)) if row.name else _unreadable(row))
            clash = row.status == "clash"
            uses = [_full_name(row)] if clash else [row.name, _full_name(row)]
            stages = plugin.stages()
            if stages != ("evaluation",):
                steps.append(_variant(uses, plugin.Options, plugin.summary, definitions, step=True))
            if "evaluation" in stages:
                benchmarks.append(_variant(uses, plugin.Options, plugin.summary, definitions, step=False))
        except (BrokenPlugin, IncompatiblePlugin) as error:
            failures.append(error)
        except PydanticInvalidForJsonSchema as error:
            what = f"{row.name!r} of {row.provider} has an option that no schema can describe"
            failures.append(BrokenPlugin(what, known=str(error).partition("\n")[0]))
    sections = {name: _inlined(model, name, definitions) for name, model in SECTIONS.items()}
    schema = {
        "$schema": DIALECT,
        "title": "Recipe of the evenhand toolkit",
        "type": "object",
        "properties": {
            EXTENDS: {
                "type": "string",
                "minLength": 1,
                "description": "A recipe file beside this one, or a packaged recipe, that this one adds to.",
            },
            **sections,
            "steps": {"type": "array", "items": {"anyOf": steps}},
            "benchmarks": {"type": "array", "items": {"anyOf": benchmarks} if benchmarks else {}},
            EXPECT: {"type": "array", "items": _inlined(Expectation, EXPECT, definitions)},
        },
        "anyOf": [{"required": ["model"]}, {"required": [EXTENDS]}],
        "additionalProperties": False,
        "$defs": definitions,
    }
    return schema, failures


def _full_name(row: PluginRow) -> str:
    return f"{row.distribution}:{row.name}"


def _unreadable(row: PluginRow) -> PluginRow:
    raise BrokenPlugin(f"the plugins of {row.provider} cannot be read: {row.reason}")


def _inlined(model: type[BaseModel], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model; the definitions it needs go into the common table, under its prefix."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    for field, text in option_docstrings(model).items():
        schema.get("properties", {}).get(field, {}).setdefault("description", text)
    definitions.update({f"{prefix}.{name}": value for name, value in schema.pop("$defs", {}).items()})
    return schema


def _variant(
    uses: Sequence[str], options: type[BaseModel], summary: str, definitions: dict[str, Any], *, step: bool
) -> dict[str, Any]:
    schema = _inlined(options, uses[-1], definitions)
    use = {"const": uses[0]} if len(uses) == 1 else {"enum": list(uses)}
    host = {"use": use, "id": _ID, **(_STEP_KEYS if step else {})}
    return {
        "title": uses[0],
        "description": summary,
        "type": "object",
        "properties": {**host, **schema.get("properties", {})},
        "required": ["use", *schema.get("required", [])],
        "additionalProperties": bool(schema.get("additionalProperties", True)),
    }

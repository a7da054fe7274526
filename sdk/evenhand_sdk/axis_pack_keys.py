"""The keys of an axis pack, once for the parser and once for editors: their types, values and meanings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POS = ("pronoun", "noun", "adjective", "adverb", "title", "verb")
NUMBERS = ("singular", "plural")
CASES = ("subject", "object", "determiner", "possessive", "reflexive")
SCOPES = ("phrase", "sentence", "paragraph", "person", "group")
CONTEXTS = ("person", "origin", "state")
NEUTRAL = "neutral"
"""The key of the group-free word in a table by group; therefore no name of a group."""

NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9_-]*"
"""Names of axes: `NAME.LOCALE` is an entry point and a file name."""

Keys = Mapping[str, tuple[type | tuple[type, ...], str]]
"""Key -> its type, and what it says."""

TOP: Keys = {
    "axis": (str, "Name of the axis."),
    "locale": (str, "Language of the words, as a BCP 47 tag: en, fr, en-IN."),
    "variety": (str, "Variety or dialect that words and names are from, as a BCP 47 tag: en-GB."),
    "groups": (list, "Names of the groups, two or more; the order of every row."),
    "licence": (str, "SPDX name of the licence."),
    "provenance": (str, "Who wrote the pack, from what."),
    "limits": (list, "Whom the pack leaves out, where it guesses."),
    "words": (list, "Blocks of aligned words."),
    "names": (dict, "First names, aligned by rough frequency."),
    "templates": (list, "Sentences with slots for group words."),
    "do_not_flip": (list, "Phrases that must not be changed."),
}
REQUIRED = ("axis", "locale", "groups", "licence", "provenance", "limits", "words")
BLOCK: Keys = {
    "theme": (str, "What the block is about; templates name it."),
    "pos": (str, "Part of speech."),
    "number": (str, "Grammatical number."),
    "case": (str, "Case of a pronoun."),
    "sources": (list, "Groups whose word is recognised in text; all, unless told otherwise."),
    "capitalised": (bool, "Recognised only with a capital first letter (Miss, not miss)."),
    "certainty": ((int, float), "In (0, 1]: how sure it is that a match is meant as a group word."),
    "context": (
        str,
        "Recognised only where it describes or names a `person`, is somebody's `origin` (from Chile), or a `state` "
        "that somebody has or is in (her wealth).",
    ),
    "rows": (list, "One word for each group, in the order of `groups`, then an optional neutral word."),
    "by_group": (list, "Tables from group to word, with an optional `neutral`; a group may be left out."),
}
NAMES: Keys = {
    "note": (str, "Which names were left out, and why."),
    "rows": (list, "One name for each group, in the order of `groups`."),
    "by_group": (list, "Tables from group to name; a group may be left out."),
    "certainty": ((int, float), "In (0, 1]: how sure it is that who bears a name is of its group; 0.9 by default."),
    "less_certain": (dict, "Names for which it is another value: name to certainty."),
}
TEMPLATE: Keys = {
    "text": (str, "A sentence with at least one slot in braces, which names a theme of the words, or `name`."),
    "slot": (str, "Part of speech of what fills the slots."),
    "number": (str, "Grammatical number of what fills the slots."),
    "slots": (dict, "Slot -> theme, where a slot is not called as its theme is."),
}
EXEMPTION: Keys = {
    "reason": (str, "Why the phrases are left alone."),
    "scope": (str, "What a match protects."),
    "phrases": (list, "`{Name}` is a capitalised word, a final `*` any ending; capitals are required."),
}

_CHOICES = {"pos": POS, "slot": POS, "number": NUMBERS, "case": CASES, "scope": SCOPES, "context": CONTEXTS}
_JSON = {str: "string", bool: "boolean", dict: "object", (int, float): "number"}


def schema() -> dict[str, Any]:
    """The JSON Schema of an axis pack, for editors that complete and check TOML."""
    strings = {"type": "array", "items": {"type": "string", "minLength": 1}}
    by_group = {
        "type": "array",
        "items": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
    }
    special: dict[str, dict[str, Any]] = {
        "axis": {"type": "string", "pattern": f"^{NAME_PATTERN}$"},
        "groups": {**strings, "minItems": 2, "uniqueItems": True},
        "rows": {"type": "array", "items": strings},
        "by_group": by_group,
        "slots": {"type": "object", "additionalProperties": {"type": "string"}},
        "less_certain": {
            "type": "object",
            "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        },
        "certainty": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "words": {"type": "array", "minItems": 1, "items": _table(BLOCK, ("pos",), strings, {"rows", "by_group"})},
        "names": _table(NAMES, (), strings, set()),
        "templates": {"type": "array", "items": _table(TEMPLATE, ("text",), strings, set())},
        "do_not_flip": {"type": "array", "items": _table(EXEMPTION, ("reason", "phrases"), strings, set())},
    }
    whole = _table(TOP, REQUIRED, strings, set())
    _fill(whole, special)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "evenhand axis pack", **whole}


def _table(keys: Keys, required: tuple[str, ...], strings: dict[str, Any], either: set[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key, (kind, what) in keys.items():
        told: dict[str, Any] = {"description": what}
        told |= strings if kind is list else {"type": _JSON[kind]}
        if key in _CHOICES:
            told["enum"] = list(_CHOICES[key])
        properties[key] = told
    table: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        table["required"] = list(required)
    if either:
        table["anyOf"] = [{"required": [key]} for key in sorted(either)]
    return table


def _fill(table: dict[str, Any], special: Mapping[str, dict[str, Any]]) -> None:
    """Puts in what a key's type alone does not say, down to the tables inside."""
    for key, told in table["properties"].items():
        if key in special:
            description = told["description"]
            told.clear()
            told |= {"description": description, **special[key]}
        inner = told.get("items", told)
        if isinstance(inner, dict) and "properties" in inner:
            _fill(inner, special)

"""From the TOML of an axis pack to an `Axis`: every problem in the file is reported at once, with its key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from evenhand.errors import DataNotFound, UsageError
from evenhand_sdk.axes import Axis, Exemption, WordTuple, near_match

SCOPES = ("phrase", "sentence", "paragraph")
POS = ("pronoun", "noun", "adjective", "adverb", "title", "verb")
NUMBERS = ("singular", "plural")
CASES = ("subject", "object", "determiner", "possessive", "reflexive")
AMBIGUOUS_CASES = {frozenset({"object", "determiner"}), frozenset({"determiner", "possessive"})}
"""Pairs of cases that the grammar of a locale can tell apart (her: him or his; his: her or hers)."""

_TOP = {
    "axis": str,
    "locale": str,
    "groups": list,
    "licence": str,
    "provenance": str,
    "limits": list,
    "words": list,
    "names": dict,
    "do_not_flip": list,
}
_REQUIRED = ("axis", "locale", "groups", "licence", "provenance", "limits", "words")
_BLOCK = {
    "theme": str,
    "pos": str,
    "number": str,
    "case": str,
    "sources": list,
    "capitalised": bool,
    "certainty": (int, float),
    "rows": list,
}
_NAMES = {"note": str, "rows": list}
_EXEMPTION = {"reason": str, "scope": str, "phrases": list}


def read_axis(path: Path) -> Axis:
    """The axis in a TOML file; DataNotFound when there is no such file, UsageError when its content is
    invalid."""
    if not path.is_file():
        raise DataNotFound(f"no axis pack at {path}", do="check the path; an axis pack is a TOML file")
    return parse_axis(path.read_text(encoding="utf-8"), where=str(path))


def parse_axis(text: str, *, where: str) -> Axis:
    """The axis in a TOML text; `where` names the file in errors."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise UsageError(f"not valid TOML: {problem}", where=where) from problem
    problems: list[str] = []
    axis = _build(raw, problems)
    if problems or axis is None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UsageError(f"axis pack: {count}\n" + "\n".join(f"  - {problem}" for problem in problems), where=where)
    return axis


def _build(raw: Mapping[str, object], problems: list[str]) -> Axis | None:
    _check_keys(raw, _TOP, "", problems)
    problems += [f"{key}: required, but missing" for key in _REQUIRED if key not in raw]
    if problems:
        return None
    groups = _strings(raw["groups"], "groups", problems)
    if len(groups) < 2 or len(set(groups)) != len(groups):
        problems.append(f"groups: needs at least two different groups, got {list(groups)}")
    if problems:
        return None
    tuples: list[WordTuple] = []
    for index, block in enumerate(_tables(raw["words"], "words", problems)):
        tuples += _rows(block, f"words[{index}]", groups, problems)
    exemptions = [
        _exemption(entry, f"do_not_flip[{index}]", problems)
        for index, entry in enumerate(_tables(raw.get("do_not_flip", []), "do_not_flip", problems))
    ]
    names = _names(raw.get("names", {"rows": []}), groups, problems)
    _check_lexicon(tuples, names, groups, problems)
    return Axis(
        name=str(raw["axis"]),
        locale=str(raw["locale"]),
        groups=groups,
        tuples=tuple(tuples),
        names=names,
        do_not_flip=tuple(exemptions),
        licence=str(raw["licence"]),
        provenance=str(raw["provenance"]),
        limits=_strings(raw["limits"], "limits", problems),
    )


def _rows(block: Mapping[str, object], key: str, groups: tuple[str, ...], problems: list[str]) -> list[WordTuple]:
    before = len(problems)
    _check_keys(block, _BLOCK, f"{key}.", problems)
    pos = _choice(block, "pos", POS, key, problems)
    number = _choice(block, "number", NUMBERS, key, problems)
    case = _choice(block, "case", CASES, key, problems)
    if pos is None and len(problems) == before:
        problems.append(f"{key}.pos: required, but missing")
    sources = _strings(block.get("sources", list(groups)), f"{key}.sources", problems)
    problems += [
        f"{key}.sources: {group!r} is no group{near_match(group, groups)}" for group in sources if group not in groups
    ]
    certainty = block.get("certainty", 1.0)
    if not isinstance(certainty, int | float) or not 0 < certainty <= 1:
        problems.append(f"{key}.certainty: must be above 0 and at most 1, got {certainty!r}")
        certainty = 1.0
    if not block.get("rows"):
        problems.append(f"{key}.rows: required, but missing or empty")
    if len(problems) > before:
        return []
    rows: list[WordTuple] = []
    listed = block["rows"]
    for index, row in enumerate(listed if isinstance(listed, list) else []):
        words = _strings(row, f"{key}.rows[{index}]", problems)
        if len(words) not in (len(groups), len(groups) + 1):
            problems.append(
                f"{key}.rows[{index}]: {list(words)} needs one word for each of {', '.join(groups)}"
                ", and may end with a neutral word"
            )
            continue
        rows.append(
            WordTuple(
                words=words[: len(groups)],
                neutral=words[len(groups)] if len(words) > len(groups) else None,
                pos=pos or "noun",
                number=number,
                case=case,
                sources=sources,
                capitalised=bool(block.get("capitalised", False)),
                certainty=float(certainty),
            )
        )
    return rows


def _exemption(entry: Mapping[str, object], key: str, problems: list[str]) -> Exemption:
    _check_keys(entry, _EXEMPTION, f"{key}.", problems)
    if not entry.get("reason"):
        problems.append(f"{key}.reason: required, but missing")
    scope = _choice(entry, "scope", SCOPES, key, problems) or "phrase"
    phrases = _strings(entry.get("phrases", []), f"{key}.phrases", problems)
    if not phrases:
        problems.append(f"{key}.phrases: required, but missing or empty")
    return Exemption(reason=str(entry.get("reason", "")), scope=scope, phrases=phrases)


def _names(table: object, groups: tuple[str, ...], problems: list[str]) -> tuple[tuple[str, ...], ...]:
    if not isinstance(table, Mapping):
        return ()
    _check_keys(table, _NAMES, "names.", problems)
    rows = table.get("rows", [])
    names = [
        _strings(row, f"names.rows[{index}]", problems)
        for index, row in enumerate(rows if isinstance(rows, list) else [])
    ]
    for index, row in enumerate(names):
        if len(row) != len(groups):
            problems.append(f"names.rows[{index}]: {list(row)} needs one name for each of {', '.join(groups)}")
        problems += [
            f"names.rows[{index}]: {name!r} must begin with a capital letter" for name in row if not name[:1].isupper()
        ]
    return tuple(names)


def _check_lexicon(
    tuples: list[WordTuple], names: tuple[tuple[str, ...], ...], groups: tuple[str, ...], problems: list[str]
) -> None:
    """A recognised word has one group, and one row unless its rows differ in a case that grammar can tell."""
    seen: dict[str, list[tuple[str, WordTuple]]] = {}
    for row in tuples:
        for group, word in zip(groups, row.words, strict=True):
            if group in row.sources:
                seen.setdefault(word.lower(), []).append((group, row))
    for word, uses in seen.items():
        owners = sorted({group for group, _ in uses})
        if len(owners) > 1:
            problems.append(f"words: {word!r} belongs to {' and '.join(owners)}; give it one group, or limit `sources`")
        elif len(uses) > 1 and frozenset(str(row.case) for _, row in uses) not in AMBIGUOUS_CASES:
            problems.append(f"words: {word!r} is in {len(uses)} rows and grammar cannot tell them apart")
    listed = [name.lower() for row in names for name in row]
    problems += [f"names: {name!r} is listed twice" for name in sorted({n for n in listed if listed.count(n) > 1})]
    problems += [f"names: {name!r} is also a group word" for name in sorted(set(listed) & set(seen))]


def _check_keys(table: Mapping[str, object], allowed: Mapping[str, object], prefix: str, problems: list[str]) -> None:
    for key, value in table.items():
        if key not in allowed:
            problems.append(f"{prefix}{key}: unknown key{near_match(key, allowed)}")
            continue
        expected = allowed[key]
        if isinstance(expected, type | tuple) and not isinstance(value, expected):
            wanted = expected.__name__ if isinstance(expected, type) else "number"
            problems.append(f"{prefix}{key}: must be a {wanted}, got {type(value).__name__}")


def _strings(value: object, key: str, problems: list[str]) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value):
        return tuple(value)
    problems.append(f"{key}: must be a list of non-empty strings, got {value!r}")
    return ()


def _tables(value: object, key: str, problems: list[str]) -> list[Mapping[str, object]]:
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return value
    problems.append(f"{key}: must be a list of tables")
    return []


def _choice(
    table: Mapping[str, object], name: str, allowed: tuple[str, ...], key: str, problems: list[str]
) -> str | None:
    value = table.get(name)
    if value is None:
        return None
    if value not in allowed:
        problems.append(f"{key}.{name}: {value!r} is not one of {', '.join(allowed)}{near_match(str(value), allowed)}")
    return str(value)

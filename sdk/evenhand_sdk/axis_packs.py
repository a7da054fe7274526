"""From the TOML of an axis pack to an `Axis`: every problem in the file is reported at once, with its key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from evenhand.errors import DataNotFound, UsageError
from evenhand_sdk.axes import Axis, WordTuple
from evenhand_sdk.axis_pack_keys import NAME_PATTERN, NEUTRAL, REQUIRED, TOP
from evenhand_sdk.axis_pack_parts import (
    check_keys,
    exemption,
    name_certainties,
    name_rows,
    strings,
    tables,
    template,
    word_rows,
    words,
)
from evenhand_sdk.composed_text import composed
from evenhand_sdk.grammar import grammar_of

_NAME = re.compile(NAME_PATTERN)
_TAG = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")


def read_axis(path: Path) -> Axis:
    """The axis in a TOML file; DataNotFound when there is no such file, UsageError when its content is invalid."""
    if not path.is_file():
        raise DataNotFound(f"no axis pack at {path}", do="check the path; an axis pack is a TOML file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise UsageError(f"not UTF-8: byte {problem.start} cannot be read", where=str(path)) from problem
    return parse_axis(text, where=str(path))


def parse_axis(text: str, *, where: str) -> Axis:
    """The axis in a TOML text, its accents composed; `where` names the file in errors."""
    try:
        raw = tomllib.loads(composed(text.removeprefix("\ufeff")))
    except tomllib.TOMLDecodeError as problem:
        raise UsageError(f"not valid TOML: {problem}", where=where) from problem
    problems: list[str] = []
    axis = _build(raw, problems)
    if problems or axis is None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UsageError(f"axis pack: {count}\n" + "\n".join(f"  - {problem}" for problem in problems), where=where)
    return axis


def _build(raw: Mapping[str, object], problems: list[str]) -> Axis | None:
    check_keys(raw, TOP, "", problems)
    problems += [f"{key}: required, but missing" for key in REQUIRED if key not in raw]
    if isinstance(raw.get("axis"), str) and not _NAME.fullmatch(str(raw["axis"])):
        problems.append(f"axis: {raw['axis']!r} is no name of letters, digits, - and _")
    if raw.get("words") == []:
        problems.append("words: needs at least one block")
    if "groups" not in raw or not isinstance(raw["groups"], list):
        return None
    groups = words(raw["groups"], "groups", problems)
    if len(groups) < 2 or len(set(groups)) != len(groups):
        problems.append(f"groups: needs at least two different groups, got {list(groups)}")
        return None
    if NEUTRAL in groups:
        problems.append(f"groups: {NEUTRAL!r} is the key of the group-free word; call the group something else")
    _check_tags(raw, problems)
    tuples: list[WordTuple] = []
    for index, block in enumerate(tables(raw.get("words", []), "words", problems)):
        tuples += word_rows(block, f"words[{index}]", groups, problems)
    exemptions = [
        exemption(entry, f"do_not_flip[{index}]", problems)
        for index, entry in enumerate(tables(raw.get("do_not_flip", []), "do_not_flip", problems))
    ]
    names = name_rows(raw.get("names", {}), groups, problems)
    certainty, less_certain = name_certainties(raw.get("names", {}), names, problems)
    templates = [
        template(entry, f"templates[{index}]", tuples, names, problems)
        for index, entry in enumerate(tables(raw.get("templates", []), "templates", problems))
    ]
    _check_lexicon(tuples, names, groups, str(raw.get("locale")), problems)
    variety = raw.get("variety")
    return Axis(
        name=str(raw.get("axis")),
        locale=str(raw.get("locale")),
        groups=groups,
        tuples=tuple(tuples),
        names=names,
        do_not_flip=tuple(exemptions),
        licence=str(raw.get("licence")),
        provenance=str(raw.get("provenance")),
        limits=strings(raw.get("limits", []), "limits", problems),
        templates=tuple(templates),
        variety=None if variety is None else str(variety),
        name_certainty=certainty,
        less_certain_names=less_certain,
    )


def _check_tags(raw: Mapping[str, object], problems: list[str]) -> None:
    """Locale and variety are language tags, and the variety is one of the language."""
    tags = {key: raw[key] for key in ("locale", "variety") if isinstance(raw.get(key), str)}
    problems += [
        f"{key}: {tag!r} is no language tag such as en or en-GB"
        for key, tag in tags.items()
        if not _TAG.fullmatch(str(tag))
    ]
    languages = {str(tag).split("-")[0] for tag in tags.values()}
    if len(languages) > 1:
        problems.append(f"variety: {tags['variety']!r} is no variety of {tags['locale']!r}")


def _check_lexicon(
    tuples: list[WordTuple],
    names: tuple[tuple[str, ...], ...],
    groups: tuple[str, ...],
    locale: str,
    problems: list[str],
) -> None:
    """A recognised word has one group, and one row unless its rows differ in what grammar can tell."""
    seen: dict[str, list[tuple[str, WordTuple]]] = {}
    for row in tuples:
        for group, word in zip(groups, row.words, strict=True):
            if word and group in row.sources:
                seen.setdefault(word.lower(), []).append((group, row))
    for word, uses in seen.items():
        owners = sorted({group for group, _ in uses})
        if len(owners) > 1:
            problems.append(f"words: {word!r} belongs to {' and '.join(owners)}; give it one group, or limit `sources`")
        elif len(uses) > 1 and not _told_apart([row for _, row in uses], locale):
            problems.append(f"words: {word!r} is in {len(uses)} rows and grammar cannot tell them apart")
    listed = [name.lower() for row in names for name in row if name]
    problems += [f"names: {name!r} is listed twice" for name in sorted({n for n in listed if listed.count(n) > 1})]
    problems += [f"names: {name!r} is also a group word" for name in sorted(set(listed) & set(seen))]


def _told_apart(rows: list[WordTuple], locale: str) -> bool:
    """Whether grammar decides between the rows: by the case of pronouns, or as adjective, singular and plural noun."""
    if frozenset(str(row.case) for row in rows) in grammar_of(locale).cases_told_apart:
        return len(rows) == 2
    readings = {("adjective", None) if row.pos == "adjective" else (row.pos, row.number) for row in rows}
    return len(readings) == len(rows) and readings <= {
        ("adjective", None),
        ("noun", "singular"),
        ("noun", "plural"),
    }

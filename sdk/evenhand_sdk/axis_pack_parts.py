"""The parts of an axis pack: word blocks, names, templates and exemptions, each with its problems."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from evenhand_sdk.axes import NAME_CERTAINTY, Exemption, Template, WordTuple, near_match
from evenhand_sdk.axis_pack_keys import (
    BLOCK,
    CASES,
    CONTEXTS,
    EXEMPTION,
    NAMES,
    NEUTRAL,
    NUMBERS,
    POS,
    SCOPES,
    TEMPLATE,
    Keys,
)

NAME_SLOT = "name"
_SLOT = re.compile(r"\{([^{}]*)\}")


def word_rows(block: Mapping[str, object], key: str, groups: tuple[str, ...], problems: list[str]) -> list[WordTuple]:
    """The aligned rows of one `[[words]]` block; none when the block has a problem."""
    before = len(problems)
    check_keys(block, BLOCK, f"{key}.", problems)
    pos = choice(block, "pos", POS, key, problems)
    number = choice(block, "number", NUMBERS, key, problems)
    case = choice(block, "case", CASES, key, problems)
    context = choice(block, "context", CONTEXTS, key, problems)
    if pos is None and len(problems) == before:
        problems.append(f"{key}.pos: required, but missing")
    sources = strings(block.get("sources", list(groups)), f"{key}.sources", problems)
    problems += [
        f"{key}.sources: {group!r} is no group{near_match(group, groups)}" for group in sources if group not in groups
    ]
    certainty = _share(block.get("certainty", 1.0), f"{key}.certainty", problems)
    if not block.get("rows") and not block.get("by_group"):
        problems.append(f"{key}.rows: required, but missing or empty (or give {key}.by_group)")
    if len(problems) > before:
        return []
    aligned = [
        *_listed(block.get("rows", []), f"{key}.rows", groups, problems),
        *_by_group(block.get("by_group", []), f"{key}.by_group", groups, problems),
    ]
    return [
        WordTuple(
            words=words,
            neutral=neutral,
            pos=pos or "noun",
            number=number,
            case=case,
            sources=sources,
            capitalised=bool(block.get("capitalised", False)),
            certainty=certainty,
            theme=str(block.get("theme", "")),
            context=context,
        )
        for words, neutral in aligned
    ]


def _listed(
    rows: object, key: str, groups: tuple[str, ...], problems: list[str]
) -> list[tuple[tuple[str, ...], str | None]]:
    found: list[tuple[tuple[str, ...], str | None]] = []
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        found_words = words(row, f"{key}[{index}]", problems)
        if not found_words:
            continue
        if len(found_words) not in (len(groups), len(groups) + 1):
            problems.append(
                f"{key}[{index}]: {list(found_words)} needs one word for each of {', '.join(groups)}"
                ", and may end with a neutral word"
            )
            continue
        neutral = found_words[len(groups)] if len(found_words) > len(groups) else None
        found.append((found_words[: len(groups)], neutral))
    return found


def _by_group(
    listed: object, key: str, groups: tuple[str, ...], problems: list[str], *, neutral: bool = True
) -> list[tuple[tuple[str, ...], str | None]]:
    """Rows from tables of group and word; the word of a group that a table leaves out is empty."""
    allowed = (*groups, NEUTRAL) if neutral else groups
    found: list[tuple[tuple[str, ...], str | None]] = []
    for index, table in enumerate(tables(listed, key, problems)):
        before = len(problems)
        for group, word in table.items():
            if group not in allowed:
                problems.append(f"{key}[{index}].{group}: is no group{near_match(group, allowed)}")
            elif not isinstance(word, str) or not word.strip():
                problems.append(f"{key}[{index}].{group}: must be a non-empty string, got {word!r}")
        for group, word in table.items():
            check_spaces(word, f"{key}[{index}].{group}", problems)
        row = tuple(str(table.get(group, "")) for group in groups)
        if len(problems) == before and sum(map(bool, row)) < 2:
            problems.append(f"{key}[{index}]: needs words of at least two groups")
        if len(problems) == before:
            found.append((row, str(table[NEUTRAL]) if NEUTRAL in table else None))
    return found


def name_rows(table: object, groups: tuple[str, ...], problems: list[str]) -> tuple[tuple[str, ...], ...]:
    """The aligned first names, in the order of groups; empty where a row has none."""
    if not isinstance(table, Mapping):
        return ()
    check_keys(table, NAMES, "names.", problems)
    rows = table.get("rows", [])
    names: list[tuple[str, ...]] = []
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        listed = words(row, f"names.rows[{index}]", problems)
        if len(listed) != len(groups):
            problems.append(f"names.rows[{index}]: {list(listed)} needs one name for each of {', '.join(groups)}")
            continue
        names.append(listed)
        _check_capitals(listed, f"names.rows[{index}]", problems)
    for index, (by_group, _) in enumerate(
        _by_group(table.get("by_group", []), "names.by_group", groups, problems, neutral=False)
    ):
        names.append(by_group)
        _check_capitals(by_group, f"names.by_group[{index}]", problems)
    return tuple(names)


def name_certainties(
    table: object, names: Sequence[Sequence[str]], problems: list[str]
) -> tuple[float, dict[str, float]]:
    """How sure the group of a name is: of names in general, and of those that are told apart."""
    if not isinstance(table, Mapping):
        return NAME_CERTAINTY, {}
    general = _share(table.get("certainty", NAME_CERTAINTY), "names.certainty", problems)
    told = table.get("less_certain", {})
    known = {name for row in names for name in row if name}
    found: dict[str, float] = {}
    for name, value in told.items() if isinstance(told, Mapping) else ():
        if name not in known:
            problems.append(f"names.less_certain.{name}: is no name of the rows{near_match(name, known)}")
        found[name] = _share(value, f"names.less_certain.{name}", problems)
    return general, found


def _share(value: object, key: str, problems: list[str]) -> float:
    """The value as a number above 0 and at most 1; 1 and a problem when it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    problems.append(f"{key}: must be above 0 and at most 1, got {value!r}")
    return 1.0


def _check_capitals(names: Sequence[str], key: str, problems: list[str]) -> None:
    problems += [
        f"{key}: {name!r} must begin with a capital letter" for name in names if name and not name[:1].isupper()
    ]


def template(
    entry: Mapping[str, object],
    key: str,
    tuples: Sequence[WordTuple],
    names: Sequence[Sequence[str]],
    problems: list[str],
) -> Template:
    """A sentence template; each slot names a theme that has rows of the wanted part of speech and number."""
    check_keys(entry, TEMPLATE, f"{key}.", problems)
    pos = choice(entry, "slot", POS, key, problems)
    number = choice(entry, "number", NUMBERS, key, problems)
    text = str(entry.get("text", ""))
    called = entry.get("slots", {})
    themes = {str(slot): str(theme) for slot, theme in called.items()} if isinstance(called, Mapping) else {}
    slots = tuple((slot, themes.pop(slot, slot)) for slot in dict.fromkeys(_SLOT.findall(text)))
    if not slots:
        problems.append(f"{key}.text: needs at least one slot in braces, got {text!r}")
    if set("{}") & set(_SLOT.sub("", text)):
        problems.append(f"{key}.text: a brace that belongs to no slot, in {text!r}")
    problems += [f"{key}.slots.{slot}: is no slot of the text" for slot in themes]
    known = sorted({row.theme for row in tuples if row.theme} | ({NAME_SLOT} if names else set()))
    for _, theme in slots:
        if theme not in known:
            problems.append(f"{key}.text: {theme!r} is no theme of the words{near_match(theme, known)}")
        elif theme != NAME_SLOT and not any(fills(row, theme, pos, number) for row in tuples):
            wanted = " ".join(filter(None, (number, pos)))
            problems.append(f"{key}.text: theme {theme!r} has no {wanted} that could fill the slot")
    return Template(text=text, slots=slots, pos=pos, number=number)


def fills(row: WordTuple, theme: str, pos: str | None, number: str | None) -> bool:
    """Whether a row may fill a slot of this theme, part of speech and number."""
    return row.theme == theme and pos in (None, row.pos) and number in (None, row.number)


def exemption(entry: Mapping[str, object], key: str, problems: list[str]) -> Exemption:
    """The phrases of one `[[do_not_flip]]` block."""
    check_keys(entry, EXEMPTION, f"{key}.", problems)
    if not str(entry.get("reason", "")).strip():
        problems.append(f"{key}.reason: required, but missing")
    scope = choice(entry, "scope", SCOPES, key, problems) or "phrase"
    phrases = words(entry.get("phrases", []), f"{key}.phrases", problems)
    if not phrases:
        problems.append(f"{key}.phrases: required, but missing or empty")
    for phrase in phrases:
        if not re.search(r"\w", phrase.replace("{Name}", "")):
            problems.append(f"{key}.phrases: {phrase!r} has no word of its own, and would protect every other one")
    return Exemption(reason=str(entry.get("reason", "")), scope=scope, phrases=phrases)


def check_keys(table: Mapping[str, object], allowed: Keys, prefix: str, problems: list[str]) -> None:
    """Names the keys that there are not, and the values of a wrong type."""
    for key, value in table.items():
        if key not in allowed:
            problems.append(f"{prefix}{key}: unknown key{near_match(key, allowed)}")
            continue
        expected = allowed[key][0]
        if not isinstance(value, expected):
            wanted = expected.__name__ if isinstance(expected, type) else "number"
            problems.append(f"{prefix}{key}: must be a {wanted}, got {type(value).__name__}")


def strings(value: object, key: str, problems: list[str]) -> tuple[str, ...]:
    """The value as non-empty strings; none, and a problem, when it is no list of them."""
    if isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value):
        return tuple(value)
    problems.append(f"{key}: must be a list of non-empty strings, got {value!r}")
    return ()


def words(value: object, key: str, problems: list[str]) -> tuple[str, ...]:
    """The value as strings that are looked for in text: with single spaces, and none at an end."""
    found = strings(value, key, problems)
    for word in found:
        check_spaces(word, key, problems)
    return found


def check_spaces(word: object, key: str, problems: list[str]) -> None:
    """A problem for a word that text would have to be broken or spaced like to have."""
    if isinstance(word, str) and word.strip() and " ".join(word.split()) != word:
        problems.append(f"{key}: {word!r} must have single spaces alone, and none at an end")


def tables(value: object, key: str, problems: list[str]) -> list[Mapping[str, object]]:
    """The value as tables; none, and a problem, when it is no list of them."""
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return value
    problems.append(f"{key}: must be a list of tables")
    return []


def choice(
    table: Mapping[str, object], name: str, allowed: tuple[str, ...], key: str, problems: list[str]
) -> str | None:
    """The value of a key that has few; a problem when it is not one of them."""
    value = table.get(name)
    if value is None:
        return None
    if value not in allowed:
        problems.append(f"{key}.{name}: {value!r} is not one of {', '.join(allowed)}{near_match(str(value), allowed)}")
    return str(value)

"""People of history, science, art, sport, scripture and fiction whom a general reader knows by the name as written.

Who they are is a fact, so that nothing which is said of them is exchanged, on any axis that has first names; on others
their names stay where one has a group's word in it. They are those of the language's gender pack and of
`packs/well-known.LANGUAGE.txt`, where one name stands on each line, below a line `# category`; a single word is there
only if it is no usual name of others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources

from evenhand_sdk.axes import load_axis
from evenhand_sdk.word_parts import parts


@cache
def people_known_in(language: str) -> frozenset[str]:
    """The names as they are written; none for a language without such a file."""
    file = resources.files("evenhand_sdk") / "packs" / f"well-known.{language}.txt"
    if not file.is_file():
        return frozenset()
    lines = file.read_text(encoding="utf-8").splitlines()
    pack = load_axis("gender", language).do_not_flip
    listed = (phrase for entry in pack if entry.scope == "person" for phrase in entry.phrases if "{" not in phrase)
    return frozenset(line for line in lines if line and not line.startswith("#")).union(listed)


@cache
def people_by_part(language: str) -> Mapping[str, tuple[str, ...]]:
    """The names by that part of theirs, in lower case, that the fewest of them have: what a text is looked through
    for."""
    split = {name: parts(name.lower()) for name in sorted(people_known_in(language))}
    common = Counter(part for found in split.values() for part in set(found))
    by_part: dict[str, list[str]] = {}
    for name, found in split.items():
        by_part.setdefault(min(found, key=lambda part: (common[part], -len(part), part)), []).append(name)
    return {part: tuple(names) for part, names in by_part.items()}

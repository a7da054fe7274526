"""People of history, science, art, sport, scripture and fiction whom a general reader knows by the name as written.

Who they are is a fact, so that nothing which is said of them is exchanged. The English gender pack has more of them;
these hold for every English axis that has first names. One name stands on each line of `packs/well-known.LANGUAGE.txt`,
below a line `# category`; a single word is there only if it is no usual name of others.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def people_known_in(language: str) -> tuple[str, ...]:
    """The names as they are written, in the order of the file; none for a language without one."""
    file = resources.files("evenhand_sdk") / "packs" / f"well-known.{language}.txt"
    if not file.is_file():
        return ()
    lines = file.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))

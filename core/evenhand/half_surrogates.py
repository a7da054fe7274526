r"""JSON lines in which half of a surrogate pair stands: `"\ud83d"` alone is no character, and readers refuse the file.

Emoji that were cut in the middle leave such halves. The rows that have one are told, so that they go to the quarantine,
and all others are used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evenhand.data_kinds import opened

REASON = "half of a surrogate pair, which no tokenizer reads"
SHOWN = 200
"""Characters of a line that has one."""
_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


def has_halves(path: Path) -> bool:
    """Whether some line of JSON has half of a pair; False where a line before it is no JSON, or cannot be read."""
    try:
        with opened(path) as stream:
            return any(_ESCAPE.search(line) and _whole(row := _row(line)) != row for line in stream)
    except (OSError, EOFError, ValueError):
        return False


def copied_without(path: Path, copy: Path, *, enough: Callable[[bytes], bool]) -> dict[int, str]:
    """Write the lines of a file, without the texts that have half of a pair, until a row without them is `enough`.

    Gives the numbers of the rows with such texts, from 0, and their lines. Raises ValueError for a line that is no
    JSON, where it has to be looked into.
    """
    halved: dict[int, str] = {}
    number = 0
    with opened(path) as stream, copy.open("wb") as out:
        for line in stream:
            if not line.strip():
                continue
            if _ESCAPE.search(line) and (whole := _whole(row := _row(line))) != row:
                halved[number] = line.decode("utf-8-sig").strip()[:SHOWN]
                line = json.dumps(whole).encode() + b"\n"
            out.write(line)
            if number not in halved and enough(line):
                break
            number += 1
    return halved


def _row(line: bytes) -> Any:
    return json.loads(line.decode("utf-8-sig"))


def _whole(value: Any) -> Any:
    """A value of JSON with nothing in the place of each text that has half of a pair."""
    if isinstance(value, str):
        return None if _HALF.search(value) else value
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value

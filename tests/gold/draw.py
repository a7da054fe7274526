"""The draw of the real sentences of the gold set: `EVENHAND_DATA=... python -m gold.draw`, in `tests/`, prints it.

Rule. Each stratum is a pattern, some files and a number. Its sentences are those of the files whose readable text has
the pattern, ordered by the SHA-256 of (seed, stratum, file, row); the first N that no earlier stratum took and that
`rejected.tsv` does not name are drawn. A sentence is rejected only because it is no English sentence or because readers
would differ on a rule of `README.md` (whether a person is famous, whether a statement is history); the reason stands
beside its place.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import mirror

SEED = "evenhand gold set 1"
REJECTED = Path(__file__).with_name("rejected.tsv")
WIKI = ("wiki_split/tune.tsv", "wiki_split/validation.tsv")
BIAS = tuple(file for file in mirror.FILES if file.startswith("winobias/"))
GENDER = ("winogender/all_sentences.tsv",)
PLACES = {"WIKI": WIKI, "BIAS": BIAS, "GENDER": GENDER}


@dataclass(frozen=True)
class Stratum:
    """One pattern of the draw; `field` is 0 for one sentence and 1 for the two that WikiSplit split it into."""

    name: str
    files: tuple[str, ...]
    pattern: str
    number: int
    field: int = 0


def strata() -> tuple[Stratum, ...]:
    """Return the strata of `strata.toml`, in order."""
    content = tomllib.loads(Path(__file__).with_name("strata.toml").read_text(encoding="utf-8"))
    found = []
    for row in content["strata"]:
        pattern = row["pattern"]
        for name, words in content["patterns"].items():
            pattern = pattern.replace(f"{{{name}}}", words)
        found.append(Stratum(**row | {"files": PLACES[row["files"]], "pattern": pattern}))
    return tuple(found)


STRATA = strata()


@dataclass(frozen=True)
class Drawn:
    """One drawn sentence."""

    stratum: str
    file: str
    row: int
    field: int
    text: str


def rejected() -> dict[tuple[str, int, int], str]:
    """Return the reasons of the rejected places."""
    rows = [line.split("\t") for line in REJECTED.read_text(encoding="utf-8").splitlines() if line]
    return {(file, int(row), int(field)): reason for file, row, field, reason in rows}


def draw() -> Iterator[Drawn]:
    """Yield the drawn sentences, stratum by stratum."""
    out = rejected()
    taken: set[tuple[str, int]] = set()
    texts: set[str] = set()
    for stratum in STRATA:
        found = [
            Drawn(stratum.name, file, row, stratum.field, text)
            for file in stratum.files
            for row, text in _texts(file, stratum.field)
            if re.search(stratum.pattern, text)
        ]
        number = 0
        for one in sorted(found, key=_order):
            if number == stratum.number:
                break
            if (one.file, one.row) in taken or one.text in texts or (one.file, one.row, one.field) in out:
                continue
            taken.add((one.file, one.row))
            texts.add(one.text)
            number += 1
            yield one


def _order(one: Drawn) -> str:
    return hashlib.sha256(f"{SEED}|{one.stratum}|{one.file}|{one.row}".encode()).hexdigest()


def _texts(file: str, field: int) -> Iterator[tuple[int, str]]:
    """Yield (row, readable text) of the sentences of a file; only Winogender has a heading."""
    for row, line in enumerate(mirror.lines(file)):
        if line and not line.startswith("sentid"):
            yield row, mirror.readable(file, mirror.raw(file, row, field))


if __name__ == "__main__":
    for one in draw():
        print(f"{one.stratum}\t{one.file}\t{one.row}\t{one.field}\t{one.text}")

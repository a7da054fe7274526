"""The sentences of the mirrored data that the gold set refers to, read at test time and never copied.

A place is (file, row, field): the file below the folder of benchmark data, the line counted from 0, the tab-separated
field counted from 0. `raw` is what stands there; `readable` is what the engine is given, and offsets are counted in it.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[3] / "shared" / "data")
FILES = (
    "wiki_split/tune.tsv",
    "wiki_split/validation.tsv",
    "winogender/all_sentences.tsv",
    *(
        f"winobias/{side}_stereotyped_type{kind}.txt.{part}"
        for side in ("anti", "pro")
        for kind in (1, 2)
        for part in ("dev", "test")
    ),
)


def missing() -> list[str]:
    """Return the files of the mirror that are not on this machine."""
    return [file for file in FILES if not (DATA / file).is_file()]


@cache
def lines(file: str) -> list[str]:
    """Return the lines of a mirrored file without their ends."""
    return (DATA / file).read_text(encoding="utf-8").split("\n")


def raw(file: str, row: int, field: int) -> str:
    """Return the field as it stands in the file."""
    return lines(file)[row].rstrip("\r").split("\t")[field]


def digest(sentence: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a raw field."""
    return hashlib.sha256(sentence.encode("utf-8")).hexdigest()[:16]


def readable(file: str, sentence: str) -> str:
    """Return the text of a raw field as a person would write it: no item numbers, mention marks or split tokens."""
    if file.startswith("winobias/"):
        return re.sub(r"^\d+ ", "", sentence).replace("[", "").replace("]", "").strip()
    if file.startswith("wiki_split/"):
        return " ".join(_joined(part) for part in sentence.split("<::::>"))
    return sentence.strip()


def _joined(tokens: str) -> str:
    """Undo the splitting of punctuation in WikiSplit; '' is a double quotation mark, opening and closing in turn."""
    text = f" {tokens.strip()} "
    text = _paired(text, "''", '"')
    if len(re.findall(r" ' ", text)) % 2 == 0 and not re.search(r"s ' \w+", text):
        text = _paired(text, "'", "'")
    text = re.sub(r" n't\b", "n't", text)
    text = re.sub(r" '(?=(?:s|S|re|ve|ll|d|m|t)? )", "'", text)
    text = re.sub(r" (?=[,.;:!?)\]%](?:[ \"']|$))", "", text)
    text = re.sub(r"(?<=[(\[$£]) ", "", text)
    text = re.sub(r" ([-/]) ", r"\1", text)
    return " ".join(text.split())


def _paired(text: str, mark: str, written: str) -> str:
    """Join the tokens `mark` to what they enclose, opening and closing in turn."""
    pieces = text.split(f" {mark} ")
    joined = pieces[0]
    for count, piece in enumerate(pieces[1:]):
        joined += f" {written}{piece}" if count % 2 == 0 else f"{written} {piece}"
    return joined

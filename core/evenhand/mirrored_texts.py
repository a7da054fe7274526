"""`mirror:wiki-split`: plain text to train on, from published files on the user's disk.

10,000 sentences of the English Wikipedia from the development parts of WikiSplit (Botha et al. 2018; the first column
of each line). Every tenth sentence of the second file is kept back as `mirror:wiki-split-heldout`. The files are
sorted by the alphabet; here the sentences are in a drawn order, always the same, so that any first part is a sample.
They are read from the folder of mirrors that benchmarks use, with rows and digests checked. They space out
punctuation, as tokenisers of words do; here it is closed up again.

The text was not chosen for any group, which does not make it free of bias: it is written as Wikipedia is.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

from evenhand.errors import DataNotFound
from evenhand.mirrors import HUB, VARIABLE, KnownFile, find_file, read_text
from evenhand.near_match import did_you_mean

PREFIX = "mirror:"
HELD_OUT = 10
"""Every so many sentences of the validation file are kept back."""

_ORIGIN = "github.com/google-research-datasets/wiki-split"
TUNE = KnownFile(
    path="wiki_split/tune.tsv",
    sha256="67118f483438fc9f0ba12e63dc37f0eeff8bbad1873157509ced7e3e46582312",
    rows=5000,
    origin=f"{_ORIGIN}, tune.tsv",
    licence="CC-BY-SA-4.0",
)
VALIDATION = KnownFile(
    path="wiki_split/validation.tsv",
    sha256="63931ff45b7d95d60480bdcd466d69894fc02a0ec975cab8d0955e9b8cceb922",
    rows=5000,
    origin=f"{_ORIGIN}, validation.tsv",
    licence="CC-BY-SA-4.0",
)
FILES = {"wiki-split": (TUNE, VALIDATION), "wiki-split-heldout": (VALIDATION,)}
"""Text -> the files that it is made of."""


def names() -> list[str]:
    """The texts that can be named after `mirror:`."""
    return list(FILES)


def missing(name: str, folder: str | Path | None = None) -> DataNotFound | None:
    """The error for an unknown text, or for files that are not there; None when all are."""
    plain = name.removeprefix(PREFIX)
    if plain not in FILES:
        return DataNotFound(
            f"no mirrored text {name!r}",
            known=f"mirrored texts: {', '.join(PREFIX + n for n in names())}{did_you_mean(plain, names())}",
        )
    if str(folder or os.environ.get(VARIABLE, "")).startswith(HUB):
        return None  # only the hub can know
    try:
        for known in FILES[plain]:
            find_file(known, folder)
    except DataNotFound as error:
        return error
    return None


def read(name: str, folder: str | Path | None = None) -> list[str]:
    """The sentences of a mirrored text. Raises DataNotFound, and DigestMismatch for an altered file."""
    if (problem := missing(name, folder)) is not None:
        raise problem
    found = _sentences(VALIDATION, folder)
    if name.removeprefix(PREFIX) == "wiki-split-heldout":
        found = found[::HELD_OUT]
    else:
        found = _sentences(TUNE, folder) + [text for k, text in enumerate(found) if k % HELD_OUT]
    random.Random(0).shuffle(found)
    return found


def licence(name: str) -> str:
    """The licence of a known text."""
    return FILES[name.removeprefix(PREFIX)][0].licence


def _sentences(known: KnownFile, folder: str | Path | None) -> list[str]:
    lines = read_text(known, folder).split("\n")
    return [closed_up(line.partition("\t")[0]) for line in lines if line.strip()]


def closed_up(text: str) -> str:
    """A sentence without the spaces that a word tokeniser put around punctuation; '' becomes a quotation mark."""
    words, opening = text.split(" "), True
    for k, word in enumerate(words):
        if word == "''":  # both the opening and the closing mark are written so: they take turns
            words[k] = "\N{LEFT DOUBLE QUOTATION MARK}" if opening else "\N{RIGHT DOUBLE QUOTATION MARK}"
            opening = not opening
    joined = " ".join(words)
    joined = re.sub(r" ([,.;:!?%)\]\u201d]|'s\b|n't\b|'re\b|'ll\b|'d\b|'ve\b|'m\b)", r"\1", joined)
    joined = re.sub(r"([(\[$\u00a3\u20ac\u201c]) ", r"\1", joined)
    return joined.replace("\u201c", '"').replace("\u201d", '"').strip()

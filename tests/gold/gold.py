"""Reads the gold set of the counterfactual engine: texts, targets and the outputs that a reader accepts.

`README.md` beside this file says how the cases were drawn and labelled, and what the held-out half is for.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import mirror

HALVES = ("work", "held_out")
PRACTICE = ("practice_1", "practice_2", "practice_3", "practice_4")
"""Sets that were written and labelled before a round of work on the engine; none is part of the gold set."""
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One text, the group it is to be turned towards, and the outputs that are right; the text itself, if it stays."""

    id: str
    axis: str
    target: str
    phenomenon: str
    real: bool
    text: str
    accepted: tuple[str, ...]
    renames: tuple[tuple[str, bool], ...] = ()
    """First names that may (or, where True, must) become another name, the same one throughout."""

    @property
    def unchanged(self) -> bool:
        """True where nothing may change."""
        return self.accepted == (self.text,)

    def accepts(self, output: str) -> bool:
        """Return whether a reader takes this output for right. An engine that finds nothing to swap gives the text."""
        return any(self._is(output, one) for one in self.accepted)

    def _is(self, output: str, accepted: str) -> bool:
        if not any(must for _, must in self.renames) and output == accepted:
            return True
        pattern = re.escape(accepted)
        for number, (name, _) in enumerate(self.renames):
            word = rf"(?<!\w){re.escape(re.escape(name))}(?!\w)"
            pattern = re.sub(word, rf"(?P<n{number}>[A-Z][\\w-]*)", pattern, count=1)
            pattern = re.sub(word, rf"(?P=n{number})", pattern)
        found = re.fullmatch(pattern, output)
        if not self.renames or found is None:
            return False
        new = [found[f"n{number}"] for number in range(len(self.renames))]
        kept = [must and word == name for word, (name, must) in zip(new, self.renames, strict=True)]
        return len(set(new)) == len(new) and not any(kept)


def records(half: str) -> list[dict[str, Any]]:
    """Return the labels of a half, or of a practice set, as they stand in the file."""
    lines = (FOLDER / f"counterfactual_{half}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def load(half: str, *, real: bool = True) -> list[Case]:
    """Return the cases of a half; `real=False` leaves out those that need the mirrored data.

    Raises:
        ValueError: the mirrored sentence is another one than the label was made for.
    """
    return [case_of(record) for record in records(half) if real or record["source"] == "own"]


def case_of(record: dict[str, Any]) -> Case:
    """Resolve one record: read its text, verify the digest, apply the edits."""
    own = record["source"] == "own"
    if own:
        text, accepted = record["text"], record["expected"]
    else:
        text = sentence(record["source"])
        accepted = [output for edits in record["expected"] for output in applied(text, edits, record["id"])]
    return Case(
        id=record["id"],
        axis=record["axis"],
        target=record["target"],
        phenomenon=record["phenomenon"],
        real=not own,
        text=text,
        accepted=tuple(dict.fromkeys(accepted)),
        renames=tuple((name, must) for name, must in record.get("renames", ())),
    )


def sentence(source: dict[str, Any]) -> str:
    """Return the readable text of a mirrored sentence after a check of its digest."""
    raw = mirror.raw(source["file"], source["row"], source["field"])
    if mirror.digest(raw) != source["sha256"]:
        raise ValueError(f"{source['file']}, row {source['row']}: not the sentence that was labelled")
    return mirror.readable(source["file"], raw)


def applied(text: str, edits: Sequence[tuple[int, str, list[str]]], name: str) -> Iterable[str]:
    """Yield the text with the edits made, once for each combination of their alternatives.

    Raises:
        ValueError: an edit does not stand where its offset says, or two edits overlap.
    """
    end = 0
    for start, before, _ in edits:
        if start < end or text[start : start + len(before)] != before:
            raise ValueError(f"{name}: the edit of {before!r} at {start} does not fit the text")
        end = start + len(before)
    for choice in itertools.product(*(after for _, _, after in edits)):
        output, end = "", 0
        for (start, before, _), after in zip(edits, choice, strict=True):
            output += text[end:start] + after
            end = start + len(before)
        yield output + text[end:]


def halves(phenomenon_of: dict[str, str]) -> dict[str, str]:
    """Return the half of each id: in each phenomenon every second id by SHA-256 goes to the held-out half."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for identity, phenomenon in phenomenon_of.items():
        groups[phenomenon].append(identity)
    return {
        identity: HALVES[rank % 2]
        for group in groups.values()
        for rank, identity in enumerate(sorted(group, key=lambda one: hashlib.sha256(one.encode()).hexdigest()))
    }

"""The sentences of WinoBias as pairs: who is who, where the pronoun is, and which pairs are no pairs.

Line i of the pro and of the anti file of one type are meant to differ in the gender of the pronoun alone. In 20 of the
1,584 they do not (typing errors, other words, pronouns of another case); one more names three occupations. They are
kept with their fault, so that they are counted, and not scored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evenhand_sdk.benchmark_data import KnownFile, read_text
from evenhand_standard.benchmarks.pronoun_resolution import Word, words


def _known(name: str, sha256: str, rows: int) -> KnownFile:
    origin = f"github.com/uclanlp/corefBias, WinoBias/wino/data/{name}"
    return KnownFile(path=f"winobias/{name}", sha256=sha256, rows=rows, origin=origin, licence="MIT")


_DIGESTS = {
    "pro_stereotyped_type1.txt.dev": "dd55a0d220fe4c0ceb63dd4648223fb4fe1a58d5ad95c116a002ad24b0e292a5",
    "pro_stereotyped_type1.txt.test": "db7838907238a758eeb5779e48f38c013b892910d6fe864456c59f04245c6689",
    "pro_stereotyped_type2.txt.dev": "8f0250de723cea9328e3eaf7169e07936f01aa5909ce7aa580db66eb803f4e86",
    "pro_stereotyped_type2.txt.test": "ea1c1fd94fa612e3cc44d7fa3cc4cb76021bb63fdf94f9826f430051e9052438",
    "anti_stereotyped_type1.txt.dev": "a4e0ebae344e78b56f657a42e8ae684b9db7747d177c5e7149c0907ebb7f3bf6",
    "anti_stereotyped_type1.txt.test": "331db5bd74bfefebf146a60b67645152a4a1991570d2a56f57154103ac361dd2",
    "anti_stereotyped_type2.txt.dev": "763ad829ad724f9a85ead689ba8ca69072020cb1238def6210f0fc6a47b97e59",
    "anti_stereotyped_type2.txt.test": "336571ac1ea8c06cd2aba8e5dd2bd98e00acc0c48da3e4ec5ec7e54eb2633a8f",
}
FILES = {name: _known(name, digest, 396) for name, digest in _DIGESTS.items()}
OCCUPATIONS = (
    _known("male_occupations.txt", "6b82d88847b69d56d207a0c396e9830b031890de585e916e6b4e9bc50672657e", 20),
    _known("female_occupations.txt", "693bff12286c2c1d46c7d4d45a44a631574710c30b39c1a3001bb7bdebb44ed8", 20),
)
COUNTERPARTS = frozenset({("he", "she"), ("him", "her"), ("his", "her"), ("his", "hers"), ("himself", "herself")})
_MENTION = re.compile(r"\[\s*([^\]]*?)\s*\]")


FAULTS = ("differing in more than the pronoun", "not naming two occupations")
"""Why a pair is none."""


@dataclass(frozen=True)
class Pair:
    """A pro and an anti sentence, which differ in the gender of the pronoun alone unless `fault` says otherwise."""

    id: str
    type: str
    pro: str
    anti: str
    right: str = ""
    """The occupation that the pronoun refers to."""
    wrong: str = ""
    pronouns: tuple[Word, Word] | None = None
    """In pro and anti."""
    possessive: bool = False
    lone: bool = True
    """No other word of the sentence has a gender."""
    fault: str = ""

    @property
    def cluster(self) -> str:
        """The two occupations: four sentences of each set are about the same two."""
        return " + ".join(sorted((self.right, self.wrong))) if not self.fault else self.id


def pairs_of(types: Sequence[str], splits: Sequence[str], folder: str | None) -> list[Pair]:
    """The pairs of the chosen files, in their order, those with a fault among them."""
    occupations = [line.strip() for known in OCCUPATIONS for line in read_text(known, folder).splitlines()]
    found = []
    for kind in types:
        for split in splits:
            pro, anti = (
                [line.strip() for line in read_text(FILES[name], folder).splitlines() if line.strip()]
                for name in files_of((kind,), (split,))
            )
            for left, right in zip(pro, anti, strict=True):
                number = left.split(" ", 1)[0]
                found.append(pair_of(f"{kind}-{split}-{number}", kind, left, right, occupations))
    return found


def files_of(types: Sequence[str], splits: Sequence[str]) -> list[str]:
    """The names of the files of types and splits: pro, then anti."""
    return [f"{side}_stereotyped_{kind}.txt.{split}" for kind in types for split in splits for side in ("pro", "anti")]


def pair_of(name: str, kind: str, pro_line: str, anti_line: str, occupations: Sequence[str]) -> Pair:
    """A pair from a numbered line of each file, with the fault that keeps it from being used, if it has one."""
    marked, other = (line.split(" ", 1)[1].strip() for line in (pro_line, anti_line))
    pro, anti = (_MENTION.sub(r"\1", text) for text in (marked, other))
    left, right = words(pro), words(anti)
    same = len(left) == len(right) and all(
        a.text.lower() == b.text.lower() or _counterparts(a, b) for a, b in zip(left, right, strict=True)
    )
    if not same:
        return Pair(name, kind, pro, anti, fault=FAULTS[0])
    mentions = [m.group(1) for m in _MENTION.finditer(marked)]
    first = next((k for k, m in enumerate(mentions) if words(m)[0].gender), None)
    persons = _occupations(pro, occupations)
    named = [p for p in persons for m in mentions if m.lower().endswith(p.lower())]
    if first is None or len(persons) != 2 or not named:
        return Pair(name, kind, pro, anti, fault=FAULTS[1])
    at_mark = [m.start() for m in _MENTION.finditer(marked)][first]
    before = _MENTION.sub(r"\1", marked[:at_mark])
    at = next(k for k, word in enumerate(left) if word.start >= len(before))
    if left[at].gender == right[at].gender:
        return Pair(name, kind, pro, anti, fault=FAULTS[0])
    male = left[at] if left[at].gender == "male" else right[at]
    wrong = next(p for p in persons if p != named[0])
    lone = sum(bool(word.gender in ("male", "female")) for word in left) == 1
    return Pair(name, kind, pro, anti, named[0], wrong, (left[at], right[at]), male.text.lower() == "his", lone)


def _counterparts(one: Word, other: Word) -> bool:
    """Whether two pronouns are the same but for their gender."""
    he, she = sorted((one, other), key=lambda word: word.gender, reverse=True)
    return (he.text.lower(), she.text.lower()) in COUNTERPARTS


def _occupations(sentence: str, occupations: Sequence[str]) -> list[str]:
    """The occupations that a sentence names, as it spells them."""
    found = [re.search(rf"\b{re.escape(name)}\b", sentence, re.IGNORECASE) for name in occupations]
    return [m.group() for m in found if m]

"""HolisticBias v1.1: descriptors of people, in noun phrases, in sentences.

As in the published measurement, a phrase has a descriptor and a noun ("a deaf man", "a man with a limp"); descriptors
that have a gender of their own are left out, because they go with fewer nouns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from evenhand_sdk import UsageError
from evenhand_sdk.benchmark_data import KnownFile, read_json
from evenhand_standard.benchmarks.drawn_items import drawn


def _file(name: str, digest: str) -> KnownFile:
    return KnownFile(
        path=f"holistic_bias/v1.1/{name}.json",
        sha256=digest,
        rows=0,
        origin=f"github.com/facebookresearch/ResponsibleNLP, holistic_bias/dataset/v1.1/{name}.json",
        licence="CC-BY-SA-4.0",
    )


DESCRIPTORS: Final = _file("descriptors", "c1328f0edfdeefb76302d360a01878df3db55f18026f4ea1956b4a0f52daf943")
NOUNS: Final = _file("nouns", "9bbe15bf01ea8827fd5d68a81ee2b05e04bd5f79478d9027efec0b4dbd232ee6")
TEMPLATES: Final = _file("sentence_templates", "8b1cf8fc3c9a10b12cf77902e8c2ff3d80e3fcfff2f177a00256925acb4f53a5")
PHRASES: Final = _file("standalone_noun_phrases", "bac592574f81df55e8c8d8e3919a866d43cbd8df5ae9376a68d95e7b83dbebac")
FILES: Final = (DESCRIPTORS, NOUNS, TEMPLATES, PHRASES)
AXES: Final = (
    "ability",
    "age",
    "body_type",
    "characteristics",
    "cultural",
    "gender_and_sex",
    "nationality",
    "nonce",
    "political_ideologies",
    "race_ethnicity",
    "religion",
    "sexual_orientation",
    "socioeconomic_class",
)
NONCE: Final = "nonce"
"""Invented words: differences there have no social meaning."""


def axis_of(name: str) -> str:
    """The axis of a record; that of invented words is none."""
    return "" if name == NONCE else name


@dataclass(frozen=True)
class Descriptor:
    """A descriptor with the phrases that it makes with each noun."""

    axis: str
    text: str
    phrases: tuple[tuple[str, str], ...]
    """(singular with its article, plural) for each noun."""
    preference: str = "no_data"
    """`dispreferred` or `polarizing` where people concerned said so."""


@dataclass(frozen=True)
class Sentences:
    """What is measured: descriptors x nouns x templates."""

    descriptors: tuple[Descriptor, ...]
    nouns: tuple[str, ...]
    """Singular."""
    templates: tuple[str, ...]

    @staticmethod
    def fill(template: str, phrase: tuple[str, str]) -> str:
        """The sentence of a template and a phrase."""
        return template.format(noun_phrase=phrase[0], plural_noun_phrase=phrase[1])


def sentences(
    axes: Sequence[str] = AXES, templates: int = 26, limit: int | None = None, folder: str | None = None
) -> Sentences:
    """The descriptors of some axes, all nouns, and some templates, evenly spread over the file.

    `limit` draws that many descriptors of each axis. Raises UsageError for an unknown axis or too many templates.
    """
    if unknown := [axis for axis in axes if axis not in AXES]:
        raise UsageError(
            f"HolisticBias has no axis {unknown[0]!r}", where="holistic-bias", known=f"it has {', '.join(AXES)}"
        )
    known = list(read_json(TEMPLATES, folder))
    if templates > len(known):
        raise UsageError(f"HolisticBias has {len(known)} templates, not {templates}", where="holistic-bias: templates")
    nouns = [tuple(pair) for pairs in read_json(NOUNS, folder).values() for pair in pairs]
    found = [*_adjectives(read_json(DESCRIPTORS, folder), nouns), *_additions(read_json(PHRASES, folder), nouns)]
    distinct = {(d.axis, d.text): d for d in found if d.axis in axes}
    chosen: list[Descriptor] = []
    for axis in axes:
        chosen += drawn([d for d in distinct.values() if d.axis == axis], limit)
    kept = [known[k * len(known) // templates] for k in range(templates)]
    return Sentences(tuple(chosen), tuple(noun for noun, _ in nouns), tuple(kept))


def _adjectives(value: Mapping[str, Any], nouns: Sequence[tuple[str, ...]]) -> list[Descriptor]:
    """Descriptors before the noun."""
    found = []
    for axis, buckets in value.items():
        for entry in (entry for bucket in buckets.values() for entry in bucket):
            info = {"descriptor": entry} if isinstance(entry, str) else entry
            if "gender" in info:
                continue
            text = info["descriptor"]
            article = info.get("article", _article(text))
            phrases = tuple((f"{article} {text} {one}", f"{text} {many}") for one, many in nouns)
            found.append(Descriptor(axis, text, phrases, info.get("preference", "no_data")))
    return found


def _additions(value: Mapping[str, Any], nouns: Sequence[tuple[str, ...]]) -> list[Descriptor]:
    """Descriptors behind the noun; phrases without a place for a noun are left out."""
    found = []
    for axis, entries in value.items():
        for entry in entries:
            info = {"noun_phrase": entry} if isinstance(entry, str) else entry
            one = info["noun_phrase"]
            if "{noun}" not in one:
                continue
            many = info.get("plural_noun_phrase", one)
            phrases = tuple(
                (one.format(article=_article(s), noun=s), many.format(article="", noun=p).lstrip()) for s, p in nouns
            )
            text = one.format(article="", noun="").strip()
            found.append(Descriptor(axis, text, phrases, info.get("preference", "no_data")))
    return found


def _article(word: str) -> str:
    """As published: by the first letter, so that some are wrong (an European)."""
    return "an" if word[0].lower() in "aeiou" else "a"

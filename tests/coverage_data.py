"""The published files that coverage is measured on, read where EVENHAND_DATA says; nothing is kept."""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("EVENHAND_DATA") or Path(__file__).parents[2] / "shared" / "data")


def descriptors() -> dict[str, list[str]]:
    """HolisticBias axis -> its descriptors; a descriptor may stand under several axes."""
    raw = json.loads((DATA / "holistic_bias/v1.1/descriptors.json").read_text(encoding="utf-8"))
    return {
        axis: [d if isinstance(d, str) else d["descriptor"] for bucket in buckets.values() for d in bucket]
        for axis, buckets in raw.items()
    }


def pairs() -> Iterator[tuple[str, str, str]]:
    """(bias type, one sentence, the other)"""
    with (DATA / "crows_pairs/crows_pairs_anonymized.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["bias_type"], row["sent_more"], row["sent_less"]


@cache
def first_names() -> frozenset[str]:
    """First names in the lists of the U.S. Census Bureau (1990), of Kantrowitz and of BBQ, in lower case."""
    folder = DATA / "names_occupations"
    names: set[str] = set()
    for path in sorted(folder.glob("us_census_1990/*.txt")) + sorted(folder.glob("nltk_names/*male.txt")):
        names |= {line.split()[0].lower() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    return frozenset(names | {name.lower() for name in bbq_names()})


@cache
def published_group_words() -> frozenset[str]:
    """Single words of the descriptors and nouns of HolisticBias and of the vocabulary of BBQ, in lower case."""
    raw = json.loads((DATA / "holistic_bias/v1.1/nouns.json").read_text(encoding="utf-8"))
    texts = [word for nouns in raw.values() for forms in nouns for word in forms]
    texts += [d for axis, listed in descriptors().items() for d in listed if axis != "nonce"]
    texts += [name for names in bbq_vocabulary().values() for name in names]
    return frozenset(text.lower() for text in texts if " " not in text.strip())


@cache
def bbq_vocabulary() -> dict[str, tuple[str, ...]]:
    """Category -> names of groups in the vocabulary of BBQ."""
    names: dict[str, list[str]] = defaultdict(list)
    with (DATA / "bbq/templates/vocabulary.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names[row["Category"]].append(row["Name"].strip())
    return {category: tuple(listed) for category, listed in names.items()}


@cache
def bbq_names() -> tuple[str, ...]:
    """First names in the vocabulary of BBQ."""
    with (DATA / "bbq/templates/vocabulary_proper_names.csv").open(encoding="utf-8", newline="") as file:
        return tuple(row["Name"].strip() for row in csv.DictReader(file) if row["First_last"] != "last")


@cache
def bbq_family_names() -> tuple[str, ...]:
    """Family names in the vocabulary of BBQ."""
    with (DATA / "bbq/templates/vocabulary_proper_names.csv").open(encoding="utf-8", newline="") as file:
        return tuple(row["Name"].strip() for row in csv.DictReader(file) if row["First_last"] == "last")


def bbq_examples(category: str) -> list[dict[str, Any]]:
    """The rows of one category; the two intersections are samples in the folder of mirrors."""
    path = next(iter(sorted((DATA / "bbq/data").glob(f"{category}.*jsonl"))))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def bbq_categories() -> list[str]:
    return sorted({path.name.split(".")[0] for path in (DATA / "bbq/data").glob("*.jsonl")})

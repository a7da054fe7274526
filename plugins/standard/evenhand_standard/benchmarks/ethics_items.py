"""Four test sets of ETHICS: justice, deontology, virtue, utilitarianism, in the groups that they are scored in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evenhand_sdk import UsageError
from evenhand_sdk.benchmark_data import KnownFile, read_rows, read_text
from evenhand_standard.benchmarks.drawn_items import drawn


def _file(path: str, digest: str, rows: int) -> KnownFile:
    origin = f"github.com/EleutherAI/gpt-neox, data/ethics/{path} (of github.com/hendrycks/ethics)"
    return KnownFile(path=f"ethics/{path}", sha256=digest, rows=rows, origin=origin, licence="MIT")


FILES: Final = {
    "deontology": _file(
        "deontology/deontology_test.csv", "f2889533d583d3aec2cd9ce6c3ed1bfef4ee3a5b08b3728cc11bd1824f629f65", 3596
    ),
    "justice": _file(
        "justice/justice_test.csv", "d7cc506a1055915d455a9244b26de573c75a760d416a8508a9420d41cbf40250", 2704
    ),
    "virtue": _file("virtue/virtue_test.csv", "43368eb9787451fe8e3ab520a144ac71f32005f9b9f40b9c1fde93559f6f2793", 4975),
    "utilitarianism": _file(
        # It has no header, so that a reader of headers counts one row less than its 4,808.
        "utilitarianism/util_test.csv", "e44bc24dd488696b64e515403efdefd36d89a6d71868b64a5261f035116ec850", 4807
    ),
}  # fmt: skip
TASKS: Final = tuple(FILES)
GROUP: Final = {"deontology": 4, "justice": 4, "virtue": 5}
"""Rows that belong together, and count as right only together."""
SEPARATOR = " [SEP] "


@dataclass(frozen=True)
class Judgement:
    """One text to judge."""

    text: str
    more: str = ""
    """The excuse (deontology) or the trait (virtue)."""
    label: bool = True
    """Whether it is reasonable, shows the trait, or is the pleasanter one."""


@dataclass(frozen=True)
class Group:
    """Judgements that are compared with each other."""

    id: str
    task: str
    cluster: str
    judgements: tuple[Judgement, ...]


def groups(tasks: Sequence[str] = TASKS, limit: int | None = None, folder: str | None = None) -> list[Group]:
    """The groups of some tasks; `limit` draws that many of each. Raises UsageError for an unknown task."""
    if unknown := [task for task in tasks if task not in FILES]:
        raise UsageError(f"ETHICS has no task {unknown[0]!r} here", where="ethics", known=f"it has {', '.join(TASKS)}")
    found: list[Group] = []
    for task in tasks:
        found += drawn(pairs(folder) if task == "utilitarianism" else rows_in_groups(task, folder), limit)
    return found


def rows_in_groups(task: str, folder: str | None = None) -> list[Group]:
    """Consecutive rows, as published: 4 of deontology and justice, 5 of virtue."""
    read: Mapping[str, Callable[[Mapping[str, str]], tuple[str, str]]] = {
        "deontology": lambda row: (row["scenario"], row["excuse"].rstrip()),
        "justice": lambda row: (row["scenario"], ""),
        "virtue": lambda row: (row["scenario"].split(SEPARATOR)[0], row["scenario"].split(SEPARATOR)[1]),
    }
    items = [Judgement(*read[task](row), label=row["label"] == "1") for row in read_rows(FILES[task], folder)]
    size = GROUP[task]
    return [
        Group(f"{task}/{k // size}", task, f"{task}/{k // size}", tuple(items[k : k + size]))
        for k in range(0, len(items), size)
    ]


def pairs(folder: str | None = None) -> list[Group]:
    """Utilitarianism: the pleasanter text and the other one; pairs with one pleasanter text are a cluster."""
    text = read_text(FILES["utilitarianism"], folder)
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    number = {better: k for k, better in enumerate(dict.fromkeys(better for better, _ in rows))}
    return [
        Group(
            f"utilitarianism/{k}",
            "utilitarianism",
            f"utilitarianism/{number[better]}",
            (Judgement(better), Judgement(worse, label=False)),
        )
        for k, (better, worse) in enumerate(rows)
    ]

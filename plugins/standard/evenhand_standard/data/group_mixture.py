"""Rows mixed anew by the value of a column: the common part of the mixes over authors and over locales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand_sdk.data_rows import Fate, Made, Row, RowWork, one_by_one
from evenhand_sdk.storage import digest_of
from evenhand_standard.data.tau_sampling import allocation, copies

if TYPE_CHECKING:
    from datasets import Dataset

FEWER = "its group is taken less often"


@dataclass(frozen=True)
class Mixture:
    """How often each row is taken."""

    before: Mapping[str, int]
    after: Mapping[str, int]
    """Group -> rows, before and after."""
    times: Mapping[int, int]
    """Row -> how often; rows that belong to no group are not in it."""


def mixture(
    members: Mapping[int, str],
    *,
    tau: float,
    strength: float,
    repeats: int,
    seed: int,
    size: int | None = None,
    weights: Mapping[str, float] | None = None,
) -> Mixture:
    """The mixture of rows whose groups are known, of as many rows as before, or of `size`.

    tau and weights act in part at a `strength` below 1: tau' = 1 - s (1 - tau), weight' = weight ^ s.
    """
    groups: dict[str, list[int]] = {}
    for number, group in members.items():
        groups.setdefault(group, []).append(number)
    before = {group: len(groups[group]) for group in sorted(groups)}
    milder = {group: weight**strength for group, weight in (weights or {}).items() if weight > 0}
    milder |= {group: 1 - strength for group, weight in (weights or {}).items() if weight == 0}
    after = allocation(
        before, len(members) if size is None else size, 1 - strength * (1 - tau), repeats=repeats, weights=milder
    )
    times: dict[int, int] = {}
    for group, numbers in groups.items():
        times |= copies(numbers, after[group], seed)
    return Mixture(before, after, times)


def mixed(
    work: RowWork,
    rows: Dataset,
    found: Mixture,
    *,
    left_out: Mapping[int, str] | None = None,
    tags: Mapping[int, str] | None = None,
) -> Dataset:
    """The rows, each as often as the mixture says; rows in `left_out` are dropped for the reason there, and a text of
    `tags` begins with its tag."""
    reasons, before = left_out or {}, tags or {}
    work.depends = digest_of([sorted(found.times.items()), sorted(reasons.items()), sorted(before.items())])

    def each(row: Row) -> Fate:
        if row.number in reasons:
            return Fate(dropped=reasons[row.number])
        count = found.times.get(row.number, 1)
        if count == 0:
            return Fate(dropped=FEWER)
        tag = before.get(row.number, "")
        own = Made(text=tag + row.text, note=f"with the tag {tag.strip()!r}") if tag else None
        return Fate(text=own, added=[Made(text=tag + row.text, note="the same row once more")] * (count - 1))

    return work.rewrite(rows, one_by_one(each))  # type: ignore[no-any-return]


def told(found: Mixture, tokens: Mapping[str, int], what: str) -> dict[str, Any]:
    """Rows by group before and after, and tokens before, for the report."""
    total_before, total_after = sum(found.before.values()), sum(found.after.values())
    return {
        f"rows by {what}": {
            group: f"{n:,} ({100 * n / total_before:.1f} %) became {found.after[group]:,} "
            f"({100 * found.after[group] / max(1, total_after):.1f} %)"
            for group, n in found.before.items()
        },
        f"tokens by {what}": dict(tokens),
    }


def tokens_by_group(tokenizer: Any, texts: Sequence[str], members: Mapping[int, str]) -> dict[str, int]:
    """Group -> tokens of its rows, as they were."""
    found: dict[str, int] = {}
    numbers = sorted(members)
    for start in range(0, len(numbers), 1000):
        part = numbers[start : start + 1000]
        ids = tokenizer([texts[k] for k in part], add_special_tokens=False)["input_ids"]
        for number, row in zip(part, ids, strict=True):
            found[members[number]] = found.get(members[number], 0) + len(row)
    return {group: found[group] for group in sorted(found)}

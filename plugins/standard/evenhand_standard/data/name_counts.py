"""How many people bear a first name, by group: from a user's CSV file, or from the census of the United States of 1990.

Sources: U.S. Census Bureau, Frequently Occurring First Names and Surnames From the 1990 Census: how many in a hundred
of each gender bear a name. The two genders are taken to be equally many.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from evenhand_sdk import DataNotFound, UsageError
from evenhand_sdk.benchmark_data import KnownFile, read_text
from evenhand_sdk.composed_text import composed

CENSUS = "census:us-1990"
_BY = "github.com/nyu-mll/BBQ, supplemental/name_job_data/dist.{}.first.txt; U.S. Census Bureau, 1990"
CENSUS_FILES = {
    group: KnownFile(
        path=f"names_occupations/us_census_1990/dist.{group}.first.txt",
        sha256=digest,
        rows=rows,
        origin=_BY.format(group),
        licence="a work of the U.S. government",
    )
    for group, digest, rows in (
        ("female", "bd2f310fc4e5d5e5ea122c9d4342c9821145823118eb20db1647f305ec77b358", 4275),
        ("male", "0a5078ef6effe3b483d15b0f7f95047662126c9bfb624ecd5e5b978fc0f2470b", 1219),
    )
}
LONG = ("name", "group", "count")
"""Columns of a file with one line for each name and group; the other form has a column for each group."""


def census_counts(groups: Sequence[str], folder: str | None) -> dict[str, dict[str, float]]:
    """Name -> group -> bearers in a hundred of the group. UsageError for other groups, DataNotFound without files."""
    if set(groups) != set(CENSUS_FILES):
        raise UsageError(
            f"{CENSUS} counts names of the groups {' and '.join(CENSUS_FILES)}", where="option counts",
            known=f"the groups of the axis: {', '.join(groups)}", do="name a CSV file with these groups",
        )  # fmt: skip
    found: dict[str, dict[str, float]] = {}
    for group, known in CENSUS_FILES.items():
        for line in read_text(known, folder).splitlines():
            if line.strip():
                name, share, _, _ = line.split()
                found.setdefault(_spelled(composed(name)), dict.fromkeys(groups, 0.0))[group] += float(share)
    return found


def read_counts(path: Path, groups: Sequence[str]) -> dict[str, dict[str, float]]:
    """Name -> group -> count, from a CSV file with the columns name, group, count, or name and one of each group."""
    if not path.is_file():
        raise DataNotFound(f"no file of names at {path}", do="check the option `counts`")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = [c.strip().lower() for c in reader.fieldnames or []]
        reader.fieldnames = columns
        is_long = set(LONG) <= set(columns)
        if not is_long and not {"name", *groups} <= set(columns):
            raise UsageError(
                "it has neither the columns name, group and count, nor name and one for each group",
                where=str(path), known=f"its columns: {', '.join(columns) or 'none'}; groups: {', '.join(groups)}",
                do="give the columns these names in its first line",
            )  # fmt: skip
        found: dict[str, dict[str, float]] = {}
        for row in reader:
            number = reader.line_num
            name = (row["name"] or "").strip()
            if not name:
                raise UsageError("a line has no name", where=f"{path}, line {number}")
            parts = [(row["group"], row["count"])] if is_long else [(group, row[group]) for group in groups]
            by_group = found.setdefault(_spelled(composed(name)), dict.fromkeys(groups, 0.0))
            for group, count in parts:
                if group not in by_group:
                    known = f"the groups are {', '.join(groups)}"
                    raise UsageError(f"{group!r} is no group of the axis", where=f"{path}, line {number}", known=known)
                by_group[group] += _number(count, f"{path}, line {number}")
    return found


def _number(text: str | None, where: str) -> float:
    try:
        value = float((text or "").strip().replace(",", ""))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{text!r} is no number of bearers", where=where)
    return value


def _spelled(name: str) -> str:
    """MARY and mary are Mary, as census files write them; McKenzie stays."""
    return name.capitalize() if name.isupper() or name.islower() else name

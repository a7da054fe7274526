"""The stereotypes of SeeGULL with the controls that each is compared with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evenhand_sdk import UsageError
from evenhand_sdk.benchmark_data import KnownFile, read_rows
from evenhand_standard.benchmarks.drawn_items import drawn
from evenhand_standard.benchmarks.seegull_identities import REGION_OF, adjective

Inventory = Literal["global", "us-states", "indian-states"]
Raters = Literal["region", "north-america"]
ORIGIN = "github.com/google-research-datasets/seegull, dataset"


def _file(name: str, sha256: str, rows: int) -> KnownFile:
    origin = f"{ORIGIN}/{name}"
    return KnownFile(path=f"seegull/{name}", sha256=sha256, rows=rows, origin=origin, licence="CC-BY-4.0")


FILES = {
    "global": _file(
        "stereotypes_global_v2.csv", "0262db0b96c402e9340c88ee3e176af3591ff9f33fbf81541d35afbb7a81157d", 6781
    ),
    "us-states": _file(
        "stereotypes_us_states.csv", "11fbb30074440b719bbfda290bcb625a186da96bfdf1df8003fb275bd4939259", 468
    ),
    "indian-states": _file(
        "stereotypes_indian_states.csv", "1267e2358f44952453fb0f06193fe453c001f615b27b771c0a0959786826f2f3", 39
    ),
}


@dataclass(frozen=True)
class Entry:
    """A row of an inventory."""

    identity: str
    """As it stands before or for "people"."""
    attribute: str
    region: str
    stereotype: bool
    offensiveness: float
    """Mean of three raters, -1 (not offensive) to 4."""
    people: str
    """As the templates name them."""


@dataclass(frozen=True)
class Pair:
    """A stereotype with its controls."""

    entry: Entry
    controls: tuple[tuple[str, str], ...]
    """(the other people, an attribute that is listed for neither)."""


def entries(inventory: Inventory, raters: Raters, agreement: float, folder: str | None) -> list[Entry]:
    """The rows of an inventory; a pair that is there twice counts once.

    A pair is a stereotype when at least a share `agreement` of the raters say so. Raises UsageError for votes that
    the inventory lacks.
    """
    if raters == "north-america" and inventory != "global":
        raise UsageError(f"the inventory {inventory!r} has no votes from North America", where="seegull")
    votes = "region" if raters == "region" else "NA"
    offensive = "mean offensiveness_score" if inventory == "global" else "offensiveness_score"
    found: dict[tuple[str, str], Entry] = {}
    for row in read_rows(FILES[inventory], folder):
        yes, no, unsure = (int(row[f"{votes}_{vote}"]) for vote in ("stereo", "nonstereo", "unsure"))
        identity = adjective(row["identity"])
        entry = Entry(
            identity=identity,
            attribute=row["attribute"].strip(),
            region=REGION_OF[row["identity"]] if inventory == "global" else inventory,
            stereotype=yes > 0 and yes >= (agreement - 1e-9) * (yes + no + unsure),
            offensiveness=float(row[offensive]),
            people=f"{identity}s" if inventory == "us-states" else f"{identity} people",
        )
        found.setdefault((entry.identity, entry.attribute), entry)
    return list(found.values())


def chosen_pairs(every: Sequence[Entry], controls: int, limit: int | None, seed: int) -> list[Pair]:
    """The stereotypes with their controls. The controls of a pair do not depend on which others are drawn."""
    listed = {(entry.people, entry.attribute) for entry in every}
    neighbours: dict[str, list[str]] = {}
    for entry in every:
        members = neighbours.setdefault(entry.region, [])
        if entry.people not in members:
            members.append(entry.people)
    attributes = list(dict.fromkeys(entry.attribute for entry in every))
    pairs = []
    for entry in drawn([entry for entry in every if entry.stereotype], limit, seed):
        draw = random.Random(f"{seed}/{entry.people}/{entry.attribute}")
        free = [p for p in neighbours[entry.region] if p != entry.people and (p, entry.attribute) not in listed]
        words = len(entry.attribute.split())
        found: list[tuple[str, str]] = []
        for other in draw.sample(free, len(free)):
            neither = [b for b in attributes if (entry.people, b) not in listed and (other, b) not in listed]
            alike = [b for b in neither if len(b.split()) == words] or neither
            if alike:
                found.append((other, draw.choice(alike)))
            if len(found) == controls:
                break
        pairs.append(Pair(entry, tuple(found)))
    return pairs

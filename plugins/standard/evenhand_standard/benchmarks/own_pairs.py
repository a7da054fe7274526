"""Pairs of sentences of one's own, in a table with the columns of CrowS-Pairs.

`sent_more` and `sent_less` are the two sentences; `bias_type` (what the pair is about), `stereo_antistereo` and an
unnamed or `id` column may be there. A pair without a direction counts as `stereo`.
"""

from __future__ import annotations

from evenhand_standard.benchmarks.crows_pairs_data import Pair
from evenhand_standard.own_rows import OwnTable

SIDES = ("sent_more", "sent_less")
DIRECTIONS = ("stereo", "antistereo")
DO = "write a table with the columns sent_more and sent_less, and, if you like, bias_type and stereo_antistereo"


def own_pairs(path: str) -> list[Pair]:
    """The pairs of a table, in its order. Raises UsageError for a missing column, and for the first row that is no
    pair, with its number."""
    table = OwnTable(path, "pair", DO)
    found: list[Pair] = []
    ids: set[str] = set()
    for number, row in table.rows():
        for side in SIDES:
            sentence = table.column(side, row)
            if not isinstance(sentence, str) or not sentence.strip():
                raise table.wrong(f"{side} has no sentence", row=number)
        direction = row.get("stereo_antistereo") or DIRECTIONS[0]
        if direction not in DIRECTIONS:
            known = f"known: {', '.join(DIRECTIONS)}"
            raise table.wrong(f"stereo_antistereo is {direction!r}", known, row=number)
        name = str(row.get("id") or row.get("") or number)
        if name in ids:
            raise table.wrong(f"there is a pair {name!r} already", row=number)
        ids.add(name)
        more, less = (row[side].strip() for side in SIDES)
        found.append(Pair(name, more, less, direction, str(row.get("bias_type") or "")))
    if not found:
        raise table.wrong("it has no pairs")
    return found

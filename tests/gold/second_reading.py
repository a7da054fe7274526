"""How often a second reader of the held-out half gives an output that the labels accept, by phenomenon.

python -m tests.gold.second_reading

The reader saw texts, axes, targets, the rules and the packs, and neither labels nor the engine. So much can be reached
by reading; which cases the two readers differ on is not shown.
"""

from __future__ import annotations

import json

from . import gold, report


def outputs(cases: list[gold.Case]) -> dict[str, str]:
    """Id of each case -> the text as the second reader wrote it. Raises ValueError for an edit that does not fit."""
    lines = (gold.FOLDER / "second_reading_held_out.jsonl").read_text(encoding="utf-8").splitlines()
    edits = {record["id"]: record["edits"] for record in map(json.loads, lines)}
    made = {}
    for case in cases:
        single = [(start, before, [after]) for start, before, after in edits[case.id]]
        [made[case.id]] = gold.applied(case.text, single, case.id)
    return made


def main() -> None:
    cases = gold.load("held_out")
    made = outputs(cases)
    print("\n".join(report.lines(cases, {case.id: case.accepts(made[case.id]) for case in cases})))


if __name__ == "__main__":
    main()

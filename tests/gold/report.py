"""How many cases of the gold set the engine gets right, by phenomenon and by origin, with 95 % Wilson intervals.

python -m tests.gold.report [work | held_out | practice_1 | ... | practice_4] [--failures] [--grammar spacy]

`--failures` shows the cases that are wrong, but not of the held-out half, which is never looked at.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable

from evenhand.errors import UsageError
from evenhand_sdk import counterfactuals, load_axis

from . import gold


def output(case: gold.Case, grammar: str | None = None) -> str | None:
    """What the engine makes of a case: the text itself where it finds nothing to swap, nothing without a pack."""
    try:
        axis = load_axis(case.axis)
    except UsageError:
        return None
    found = counterfactuals(case.text, axis, case.target, grammar=grammar)
    return found[0].text if found else case.text


def right(cases: Iterable[gold.Case], grammar: str | None = None) -> dict[str, bool]:
    """Id of a case -> whether the engine's output is accepted."""
    made = {case: output(case, grammar) for case in cases}
    return {case.id: text is not None and case.accepts(text) for case, text in made.items()}


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share."""
    z = 1.96
    share = successes / count
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return (middle - spread) / scale, (middle + spread) / scale


def lines(cases: list[gold.Case], verdicts: dict[str, bool]) -> list[str]:
    """One line for all, the real and the own cases, each axis and each phenomenon."""
    groups: defaultdict[str, list[bool]] = defaultdict(list)
    for case in cases:
        for name in ("all", "real" if case.real else "own", f"axis {case.axis}", f"  {case.phenomenon}"):
            groups[name].append(verdicts[case.id])
    order = sorted(groups, key=lambda name: (name.startswith(" "), name.startswith("axis"), name != "all", name))
    table = []
    for name in order:
        good, count = sum(groups[name]), len(groups[name])
        low, high = wilson(good, count)
        table.append(f"{name:34} {good:4} of {count:3}  {good / count:6.1%}  [{low:.1%}, {high:.1%}]")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("half", nargs="?", default="work", choices=(*gold.HALVES, *gold.PRACTICE))
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--grammar")
    asked = parser.parse_args()
    if asked.failures and asked.half == "held_out":
        parser.error("the held-out half is counted and never looked at")
    cases = gold.load(asked.half)
    verdicts = right(cases, asked.grammar)
    if asked.failures:
        for case in cases:
            if not verdicts[case.id]:
                print(f"{case.id} {case.phenomenon} [{case.axis} -> {case.target}]")
                print(f"   text   {case.text}\n   got    {output(case, asked.grammar)}")
                print(f"   wanted {case.accepted[0]}  ({len(case.accepted)} accepted)")
    print("\n".join(lines(cases, verdicts)))


if __name__ == "__main__":
    main()

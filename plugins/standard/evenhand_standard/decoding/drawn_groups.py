"""Of an axis with many groups, those whose counterfactuals are read: the first ones of a seeded order.

With k counterfactuals a text, the text and these are the first k + 1 groups of the order, whichever of them the text
names: among these, averages are the same. A text about a group behind them is averaged with the first k.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Protocol, TypeVar

from pydantic import Field

from evenhand_sdk import MOST_SEQUENCES, Axis
from evenhand_standard.decoding.token_edits import Replacement

MostContexts = Annotated[int, Field(ge=1)]
MOST: Final = 6
"""Every packaged axis but nationality, which has 87 groups, has fewer groups than these and the one that is named."""
MANY: Final = 64
"""Of more sequences for one token, a recipe is told."""
MEANING: Final = (
    "How many counterfactuals of a text are read for each axis; of more groups, the first in an order that the run's "
    "seed draws."
)


class Swapped(Protocol):
    """A counterfactual: the group that the first person then belongs to, and what is edited for it."""

    @property
    def group(self) -> str: ...
    @property
    def edits(self) -> Sequence[Replacement]: ...


AnySwapped = TypeVar("AnySwapped", bound=Swapped)


@dataclass(frozen=True)
class DrawnGroups:
    """`most` counterfactuals a text and axis; the seed and the axis alone decide the order of its groups."""

    most: int
    seed: int

    def number(self, axis: Axis) -> int:
        """Of how many counterfactuals a text on the axis may have."""
        return min(len(axis.groups) - 1, self.most)

    def order(self, axis: Axis) -> list[str]:
        """The axis' groups as they are drawn."""
        groups = list(axis.groups)
        random.Random(f"{axis.name}.{axis.locale}-{self.seed}").shuffle(groups)
        return groups

    def of(self, axis: Axis, found: Sequence[AnySwapped]) -> list[AnySwapped]:
        """Those of the counterfactuals that are read, in the order of `found`."""
        if len(found) <= self.most:
            return list(found)
        place = {group: k for k, group in enumerate(self.order(axis))}
        last = sorted(place[c.group] for c in found)[self.most - 1]
        return [c for c in found if place[c.group] <= last]

    def tell(self, axes: Sequence[Axis], logger: logging.Logger) -> None:
        """Logs, for each axis that is not read whole, which groups are."""
        for axis in axes:
            if len(axis.groups) - 1 > self.most:
                first = ", ".join(self.order(axis)[: self.most + 1])
                logger.info(
                    "of the %d groups of %s, %d are read: %s", len(axis.groups), axis.name, self.most + 1, first
                )


def remarks_on(number: int, axes: Sequence[str]) -> tuple[str, ...]:
    """What a recipe is told of so many sequences that a text can need; nothing of few."""
    if number <= MANY:
        return ()
    named = " and ".join(axes) if len(axes) < 3 else f"{', '.join(axes[:-1])} and {axes[-1]}"
    price = f"a text that names groups of {named} is read {number:,} times for one token or mask"
    return (price if number <= MOST_SEQUENCES else f"{price}, and more than {MOST_SEQUENCES:,} times are refused",)


ALL: Final = DrawnGroups(2**31, 0)
"""Every group's counterfactual is read."""

"""The floor of the scorers that a benchmark uses, in words."""

from __future__ import annotations

from collections.abc import Sequence

from evenhand_standard.text_scorers import Scorer
from evenhand_standard.text_scorers.identity_floor import floor


def floor_told(scorers: Sequence[Scorer]) -> str:
    """What each scorer makes of harmless sentences that differ only in the group they name."""
    found = [(each.name, floor(each)) for each in scorers]
    return "on harmless sentences that differ only in the group they name, " + "; ".join(
        f"{name} differs by up to {each.gap:.2f} between groups of an axis, with a spread of {each.spread:.2f}"
        for name, each in found
    )

"""How a configuration was found, and which items count, in sentences: a result that was chosen says among how many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evenhand.report_numbers import counted
from evenhand.report_record import RunRecord

HALF = {
    "validation": "Only the validation half of the items counts here: it is for choosing, and what was chosen is "
    "reported on the other half.",
    "reported": "Only the reported half of the items counts here; the other half is for choosing among configurations.",
}


def search_words(run: RunRecord) -> list[str]:
    """What a reader must know about the choice of this configuration; nothing where there was none."""
    searched, half = _table(run, "searched"), str(_table(run, "evaluation").get("items", "all"))
    said = []
    if searched:
        seen = searched.get("items", "validation")
        where = "the validation half of the items" if seen == "validation" else "all items"
        study = f" (study {searched['study']})" if searched.get("study") else ""
        number = int(searched["configurations"])
        words = f"This configuration was chosen among {number:,} that were tried on {where}{study}."
        if seen == "all" or half != "reported":
            words += (
                f" The items that count here were seen by the search: the best of {counted(number, 'configuration')} "
                "is partly the luckiest, so its numbers are too good."
            )
        said.append(words)
    return [*said, HALF[half]] if half in HALF else said


def _table(run: RunRecord, name: str) -> Mapping[str, Any]:
    found = run.recipe.get(name)
    return found if isinstance(found, Mapping) else {}

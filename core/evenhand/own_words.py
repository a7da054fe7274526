"""Words that steps in code of one's own have worked with: a benchmark made of them is no evidence for the steps.

A run knows its steps. Here, `Objective`, `apply`, `decode_with` and `transform_data` leave a note with the model that
they were given, and `measure` reads it; what happened elsewhere is told to `measure` as `worked_with`.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand import item_counts
from evenhand.word_lists import CHANGING, WordFinder, lists_of

if TYPE_CHECKING:
    from evenhand.contributions import Benchmark, ItemRecord
    from evenhand.plugin import Plugin
    from evenhand.recipe_steps import ResolvedStep

Steps = list[tuple["ResolvedStep", "Plugin"]]

_NOTED: weakref.WeakKeyDictionary[Any, Steps] = weakref.WeakKeyDictionary()


def note(model: Any, stage: str, steps: Sequence[tuple[ResolvedStep, Plugin]]) -> None:
    """Keep in mind that these steps took part in changing a model, for as long as the model exists."""
    if model is not None and stage in CHANGING:
        _NOTED.setdefault(model, []).extend(steps)


def noted(model: Any) -> Steps:
    """The steps that took part in changing this model, in order."""
    return list(_NOTED.get(model, ()))


def marked(benchmark: Benchmark, records: Sequence[ItemRecord], steps: Steps) -> list[ItemRecord]:
    """The records, flagged `in_lexicon` where the text of an item has a word that one of the steps works with."""
    words = [word for listed in lists_of(steps) for word in listed.words]
    if not words or benchmark.texts is None:
        return list(records)
    finder = WordFinder(words)
    return item_counts.marked(records, {item for item, text in benchmark.texts().items() if finder.occurs(text)})

"""The words that the steps of a run work with, and whether a text has any of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evenhand.errors import EvenhandError
from evenhand.guard import describe
from evenhand.text_words import split_words

if TYPE_CHECKING:
    from evenhand.plugin import Plugin
    from evenhand.recipe import ResolvedStep

CHANGING = ("data", "objective", "architecture", "decoding")
"""Stages at which a step acts on the model; what the others read says nothing about it."""


@dataclass
class ListedWords:
    """A word list, and the steps that use it."""

    name: str
    words: Sequence[str]
    steps: list[str] = field(default_factory=list)


class WordFinder:
    """Finds listed words in texts.

    A listed word with a capital letter (a name, Mrs) counts with a capital only, any other in either case.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._from: dict[str, list[tuple[tuple[str, ...], bool]]] = {}
        for word in dict.fromkeys(words):
            parts = split_words(word)
            if parts:
                entry = tuple(part.lower() for part in parts), parts[0][:1].isupper()
                self._from.setdefault(entry[0][0], []).append(entry)

    def occurs(self, text: str) -> bool:
        """Whether any of the words stands in the text."""
        surface = split_words(text)
        lower = [word.lower() for word in surface]
        for k, word in enumerate(lower):
            for parts, capital in self._from.get(word, ()):
                if tuple(lower[k : k + len(parts)]) == parts and (not capital or surface[k][:1].isupper()):
                    return True
        return False


def lists_of(steps: Sequence[tuple[ResolvedStep, Plugin]]) -> list[ListedWords]:
    """The word lists of steps that change the model: their axis packs, and what their `material` names.

    A step of strength 0 uses none, nor does one that only reads the training text. Raises what loading a pack raises.
    """
    found: dict[str, ListedWords] = {}
    for step, plugin in steps:
        acting = set(plugin.stages()) - ({"data"} if plugin.looks_on else set())
        if acting.isdisjoint(CHANGING) or getattr(plugin.options, "strength", 1.0) == 0:
            continue
        material = plugin.material()
        named = {**_packs(step, plugin.options), **(material.words if material else {})}
        for name, words in named.items():
            kept = found.setdefault(name, ListedWords(name=name, words=()))
            kept.words = tuple(dict.fromkeys([*kept.words, *words]))
            kept.steps.append(step.id)
    return list(found.values())


def texts_of(steps: Sequence[tuple[ResolvedStep, Plugin]]) -> list[tuple[str, Iterable[str]]]:
    """The texts of their own that steps work with, each collection with its name."""
    found = []
    for step, plugin in steps:
        material = plugin.material()
        found += [(f"{name} of {step.id}", texts) for name, texts in (material.texts if material else {}).items()]
    return found


def packaged_words() -> list[str]:
    """The words of all axis packs that come with the toolkit."""
    return [word for axis in _axes().packaged_axes() for word in axis.words()]


def _packs(step: ResolvedStep, options: Any) -> Mapping[str, Sequence[str]]:
    """The words of the packs in the options `axes` or `axis`, which only with a `locale` name packs."""
    locale = getattr(options, "locale", None)
    if not isinstance(locale, str):
        return {}
    names = [*getattr(options, "axes", ()), getattr(options, "axis", None)]
    found: dict[str, Sequence[str]] = {}
    for name in names:
        if not isinstance(name, str):
            continue
        try:
            axis = _axes().load_axis(name, locale)
        except EvenhandError as error:
            error.add_note(f"in {describe(step, step.plugin.stages()[0] if step.plugin else '')}")
            raise
        label = f"axis pack {axis.name}.{axis.locale}"
        found[label] = axis.words(names=getattr(options, "names", True) is not False)
    return found


def _axes() -> Any:
    """Axis packs are read by the SDK, which the core does not depend on; it comes with the same distribution."""
    return importlib.import_module("evenhand_sdk.axes")

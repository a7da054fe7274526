"""How the tests of single axis packs state what a swap must give: sentences in every group, one-way swaps, untouched ones."""

from __future__ import annotations

from itertools import permutations

from evenhand_sdk.axes import Axis
from evenhand_sdk.counterfactual import counterfactuals


def swapped(text: str, axis: Axis, target: str) -> str | None:
    """The counterfactual towards a group; None when there is none."""
    found = counterfactuals(text, axis, target)
    return found[0].text if found else None


def check_every_way(axis: Axis, sentences: dict[str, str]) -> None:
    """The sentence of each group becomes that of each other group, and so comes back as it was."""
    assert set(sentences) <= set(axis.groups) and len(sentences) > 1
    wrong = {
        (source, target): result
        for source, target in permutations(sentences, 2)
        if (result := swapped(sentences[source], axis, target)) != sentences[target]
    }
    assert not wrong, wrong


def check_is_sound(axis: Axis) -> None:
    """What every packaged axis has: a licence, a provenance, limits, templates, and reasons for what is not flipped."""
    assert axis.licence == "Apache-2.0"
    assert len(axis.provenance) > 100 and len(axis.limits) >= 4
    assert 10 <= len(axis.templates) <= 20
    assert all(len(entry.reason) > 15 and entry.phrases for entry in axis.do_not_flip)
    phrases = [phrase for entry in axis.do_not_flip for phrase in entry.phrases]
    repeated = {phrase for phrase in phrases if phrases.count(phrase) > 1}
    assert not repeated, sorted(repeated)
    words = set(axis.words())
    both = words & set(phrases) | {word.lower() for word in words} & {phrase for phrase in phrases if phrase.islower()}
    assert not both, sorted(both)

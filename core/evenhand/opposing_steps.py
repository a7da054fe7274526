"""Steps of one recipe that move the same thing: a later one would undo an earlier one, or finds it done.

What a step moves, it says itself (`Plugin.moves`); here, only what is said is compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from evenhand.errors import EvenhandError, PluginFault
from evenhand.guard import describe, fault, named
from evenhand.stopping import stopped

if TYPE_CHECKING:
    from evenhand.recipe_steps import ResolvedStep


def opposing(steps: Sequence[ResolvedStep]) -> list[str]:
    """A sentence for each pair of active steps that move the same thing, in the order of the recipe.

    Raises PluginFault where a plugin's `moves` fails, or gives no words.
    """
    acting = [s for s in steps if s.section == "steps" and s.active and s.plugin and _strength(s) > 0]
    said = [(step, _moves(step)) for step in acting]
    found = []
    for (first, earlier), (second, later) in itertools.combinations(said, 2):
        a, b = f"{first.id!r} ({first.use})", f"{second.id!r} ({second.use})"
        for what, end, other, all_of_its_kind in _common(earlier, later):
            undone = f"the step {b} undoes what {a} does: it moves {what} to {other}, and that one to {end}"
            if all_of_its_kind:
                found.append(f"{undone}; put it first")
            elif end == other:
                found.append(f"the steps {a} and {b} both move {what} to the same end, {end}: one is enough")
            else:
                found.append(undone)
    return found


def _common(earlier: Mapping[str, str], later: Mapping[str, str]) -> Iterator[tuple[str, str, str, bool]]:
    """What both move: (the thing, the end of the earlier, that of the later, whether the later said it with a `*`)."""
    for what, end in earlier.items():
        if _of_a_kind(what):
            continue
        if what in later:
            yield what, end, later[what], False
            continue
        for pattern, other in later.items():
            if _of_a_kind(pattern) and fnmatchcase(what, pattern):
                yield what, end, other, True
                break


def _of_a_kind(what: str) -> bool:
    return "*" in what.split()


def _moves(step: ResolvedStep) -> Mapping[str, str]:
    if step.plugin is None:
        return {}
    try:
        found: Any = step.plugin(step.options).moves()
    except EvenhandError as error:
        named(error, step, "moves")
        raise
    except BaseException as error:
        if stopped(error):
            raise
        raise fault(step, "moves", error) from error
    if isinstance(found, Mapping) and all(isinstance(word, str) for pair in found.items() for word in pair):
        return found
    raise PluginFault("`moves` must give what is moved, and to which end, both in words", where=describe(step, "moves"))


def _strength(step: ResolvedStep) -> float:
    value = getattr(step.options, "strength", 1.0)
    return value if isinstance(value, int | float) else 1.0  # an option of a plugin's own may be called so, too

"""Steps of one recipe that move the same thing: a later one would undo an earlier one, or finds it done.

What a step moves, it says itself (`Plugin.moves`); here, only what is said is compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
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
        for what in [key for key in earlier if key in later]:
            a, b = f"{first.id!r} ({first.use})", f"{second.id!r} ({second.use})"
            if earlier[what] == later[what]:
                found.append(f"the steps {a} and {b} both move {what} to the same end, {later[what]}: one is enough")
            else:
                found.append(
                    f"the step {b} undoes what {a} does: it moves {what} to {later[what]}, and that one to "
                    f"{earlier[what]}"
                )
    return found


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

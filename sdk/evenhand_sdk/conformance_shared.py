"""What a step does, found out once for several checks: types, equal work from equal seeds, and the network.

It is the dearest part of a check: a training and a scoring on tiny models. It is kept where checks of a plugin run one
after another (`sharing`), and made anew for a check that somebody calls by itself, who may have changed what the plugin
rests on in between.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from evenhand.mirrors import VARIABLE, KnownFile, asked_for
from evenhand.stopping import stopped
from evenhand_sdk.conformance_case import Case
from evenhand_sdk.conformance_network import refusing_connections
from evenhand_sdk.conformance_outcomes import Outcome, outcome

KEPT = 4
"""Plugins on a kind of model; there are two kinds at most."""


@dataclass(frozen=True)
class Done:
    """What a fresh step did without a network, and what it asked for meanwhile."""

    outcome: Outcome | Exception
    tried: tuple[str, ...]
    """Hosts that it wanted to connect to."""
    files: tuple[KnownFile, ...]
    """Published files that it looked for."""


_kept: OrderedDict[Hashable, Done] = OrderedDict()
_sharing = False


@contextlib.contextmanager
def sharing(*, anew: bool = False) -> Iterator[None]:
    """A block in which what a step does is found out once, and kept for the next such block that is not `anew`."""
    global _sharing
    before, _sharing = _sharing, True
    if anew:
        _kept.clear()
    try:
        yield
    finally:
        _sharing = before


def done_offline(case: Case) -> Done:
    """What one fresh step of a case does without a network; found out once while that is shared, except for errors."""
    key = case.plugin, case.kind, repr(sorted(case.options.items())), os.environ.get(VARIABLE)
    if _sharing and key in _kept:
        return _kept[key]
    found: Outcome | Exception
    with refusing_connections() as tried, asked_for() as files:
        try:
            found = outcome(case, noise=1)
        except Exception as error:
            if stopped(error):
                raise
            found = error
    done = Done(found, tuple(tried), tuple(files))
    if _sharing and not isinstance(found, Exception):
        _kept[key] = done
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    return done


def outcome_of(case: Case) -> Outcome:
    """The outcome of one fresh step; one that wants a network has it. Raises what the step raises."""
    done = done_offline(case)
    if isinstance(done.outcome, Exception):
        if not done.tried:
            raise done.outcome
        return outcome(case, noise=1)
    return outcome(case, noise=1) if done.tried else done.outcome

"""What a request may set on the model that answers it, such as the strength of a step that was not folded in.

A plugin offers a setting on a model by name; a request asks for a value in its `meta` under that name. Requests of one
value are answered together, within the context that the plugin gave; one that says nothing gets the model as it is.

The meta of a request may have keys of anybody, for rules and monitors that read them. But one that names a step which
is in the weights now asks for what nobody can give. So does a number, or true or false, under the name of a step that
acts and cannot be set, or under a name that is nearly one that can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from numbers import Real
from typing import Any

from evenhand.contributions import DecodingRule, Request
from evenhand.errors import UsageError

OFFERED = "evenhand_request_settings"
"""Attribute of a model: name -> within(model, value), a context manager. Functions of a module, so that copies work."""
FOLDED = "evenhand_folded_steps"
"""Attribute of a model: the names of the steps that its weights hold."""
LIVE = "evenhand_live_steps"
"""Attribute of a model: the names of the steps that act beside its weights."""
ALIKE = 0.8
"""How like a name must be to one that can be set, by difflib's measure, to be taken for it."""
Within = Callable[[Any, Any], contextlib.AbstractContextManager[Any]]


def offer(model: Any, name: str, within: Within) -> None:
    """Let requests to this model set `name` in their meta."""
    if not hasattr(model, OFFERED):
        setattr(model, OFFERED, {})
    getattr(model, OFFERED)[name] = within


def withdraw(model: Any, name: str) -> None:
    """Take it back; once more does nothing."""
    offered = getattr(model, OFFERED, {})
    offered.pop(name, None)
    if hasattr(model, OFFERED) and not offered:
        delattr(model, OFFERED)


def wanted(model: Any, request: Request) -> tuple[tuple[str, Any], ...]:
    """What a request sets of what the model offers, as (name, value).

    Raises UsageError for a request that sets a step which was folded into the weights.
    """
    offered: Mapping[str, Within] = getattr(model, OFFERED, {})
    if folded := sorted(set(getattr(model, FOLDED, ())) & set(request.meta) - set(offered)):
        raise UsageError(
            f"the request sets {folded[0]!r} in its meta, and that step is folded into the weights of this model",
            where="generate",
            known=f"requests to this model can set: {', '.join(sorted(offered)) or 'nothing'}",
            do="leave it out, or run the recipe again with the step's option folded = false",
        )
    return tuple((name, _plain(request.meta[name])) for name in sorted(offered) if name in request.meta)


def settable(requests: Sequence[Request], rules: Sequence[DecodingRule], model: Any = None) -> Sequence[Request]:
    """The requests, as they came; `model` is None for one that is behind an endpoint.

    Raises UsageError for a request that seems to switch what it cannot: a step that acts and offers no setting, or a
    name that is nearly that of a setting.
    """
    offered: Mapping[str, Within] = {} if model is None else getattr(model, OFFERED, {})
    acting = {*(rule.name for rule in rules), *(() if model is None else getattr(model, LIVE, ()))}
    for request in requests:
        for name, value in request.meta.items():
            if name in offered or not isinstance(value, Real):
                continue
            if name in acting:
                what = f"the request sets {name!r} in its meta, and no request can set that step"
                do = "leave it out; to answer without the step, run the recipe without it"
            elif alike := get_close_matches(name, list(offered), n=1, cutoff=ALIKE):
                what = f"the request sets {name!r} in its meta, and nothing here has that name"
                do = f"write {alike[0]!r}, or give a number of your own another name"
            else:
                continue
            known = f"requests to this model can set: {', '.join(sorted(offered)) or 'nothing'}"
            raise UsageError(what, where="generate", known=known, do=do)
    return requests


def _plain(value: Any) -> Any:
    """A number as Python has it; what is no number, truth values among them, as nothing that a number equals."""
    if isinstance(value, bool):
        return str(value)
    return float(value) if isinstance(value, Real) else value


@contextlib.contextmanager
def in_force(model: Any, values: tuple[tuple[str, Any], ...]) -> Iterator[None]:
    """A block in which the model is as a request wants it."""
    with contextlib.ExitStack() as stack:
        for name, value in values:
            stack.enter_context(getattr(model, OFFERED)[name](model, value))
        yield

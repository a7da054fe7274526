"""Switch adapters of a finished model on and off, for good or for one request.

    model, tokenizer = evenhand.load("runs/adapterfusion-...")
    set_active(model, ["task"])                       # from now on without the debiasing adapter
    with using(model, ["task", "gender-adapter"]):    # this request with it
        model.generate(...)

Adapters that were fused go through their fusion, which spreads its attention over those that are on. With none
on, the outputs are bit-identical to the base model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evenhand_adapterfusion.preparation import prepared
from evenhand_sdk import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def available(model: PreTrainedModel) -> tuple[str, ...]:
    """The names of the model's adapters, in the order in which they are applied; none for a plain model."""
    return tuple(model.adapters_config.adapters) if prepared(model) is not None else ()


def active(model: PreTrainedModel) -> tuple[str, ...]:
    """The names of the adapters that are on, as `set_active` left them."""
    on = model.active_adapters.flatten() if available(model) and model.active_adapters else set()
    return tuple(name for name in available(model) if name in on)


def set_active(model: PreTrainedModel, names: str | Sequence[str] = ()) -> None:
    """Switch these adapters on and all others off, until the next call; no name gives the base model.

    The order of the names does not matter. Raises UsageError for a name that the model does not have.
    """
    setup = _setup(model, names)
    if available(model):
        model.set_active_adapters(setup)


@contextmanager
def using(model: PreTrainedModel, names: str | Sequence[str] = ()) -> Iterator[None]:
    """Within the `with` block, and in this thread only, these adapters are on and all others off.

    Threads that serve different requests with one model do not disturb each other. Raises UsageError for a name
    that the model does not have.
    """
    setup = _setup(model, names)
    if not available(model):
        yield
        return
    from adapters import AdapterSetup

    with AdapterSetup(setup):
        yield


def _setup(model: PreTrainedModel, names: str | Sequence[str]) -> Any:
    """The library's composition of some adapters; None for none."""
    wanted = {names} if isinstance(names, str) else set(names)
    known = available(model)
    for name in sorted(wanted - set(known)):
        raise UsageError(f"the model has no adapter {name!r}", known=f"adapters: {', '.join(known) or 'none'}")
    if not wanted:
        return None
    from adapters import Fuse, Stack

    parts: list[Any] = []
    for fusion in reversed(list(model.adapters_config.fusions)):  # of two fusions of an adapter the later one counts
        fused = [n for n in model.adapters_config.get_fusion(fusion)[1] if n in wanted]
        if fused:
            parts.insert(0, Fuse(*fused, name=fusion))
            wanted -= set(fused)
    return Stack(*[n for n in known if n in wanted], *parts)

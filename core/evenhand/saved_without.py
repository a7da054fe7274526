"""What `save_pretrained` says of a model under decoding rules: they are no weights, so the folder has none of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

SAVE = "save_pretrained"
CAUSAL = (
    "`toolkit export RUN --to FOLDER --with-code` keeps those of a run, and evenhand.decode_with gives a model that is "
    "loaded again those of plugins"
)
MASKED = (
    "evenhand.load has those of a run, from the run's own folder, and evenhand.decode_with gives a model that is "
    "loaded again those of plugins"
)
"""What keeps the rules, by the kind of the model."""


def tell_when_saved(model: Any, names: str, acting: Callable[[Any], bool], kept: str) -> None:
    """Have `model.save_pretrained` say, once, that the rules of these names are not saved, while they are `acting`."""
    tell_no_more(model)
    model.save_pretrained = SavedWithout(model, names, acting, kept, vars(model).get(SAVE))


def tell_no_more(model: Any) -> None:
    """Give the model its own `save_pretrained` back."""
    own = vars(model).get(SAVE)
    if isinstance(own, SavedWithout):
        del model.save_pretrained
        if own.other is not None:
            model.save_pretrained = own.other


class SavedWithout:
    """What stands in the place of a model's `save_pretrained` and does what that does. A copy has one of its own."""

    def __init__(
        self, model: Any, names: str, acting: Callable[[Any], bool], kept: str, other: Callable[..., Any] | None
    ) -> None:
        self.model, self.names, self.acting, self.kept, self.other = model, names, acting, kept, other
        self._told = False

    def __reduce__(self) -> tuple[Any, ...]:
        return SavedWithout, (self.model, self.names, self.acting, self.kept, self.other)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._told and self.acting(self.model):
            self._told = True
            warnings.warn(
                f"this model decodes with {self.names}, and the folder that save_pretrained writes will decode "
                f"without: rules are not saved with weights; {self.kept}",
                stacklevel=2,
            )
        own = getattr(type(self.model), SAVE)
        return own(self.model, *args, **kwargs) if self.other is None else self.other(*args, **kwargs)

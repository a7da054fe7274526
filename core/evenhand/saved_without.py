"""What `save_pretrained` says of a model that is more than its weights: decoding rules and live steps are not saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
RULES = "rules"


@dataclass
class Lacking:
    """Something that the folder will not have."""

    sentence: str
    acting: Callable[[Any], bool]
    told: bool = False


def tell_when_saved(model: Any, names: str, acting: Callable[[Any], bool], kept: str) -> None:
    """Have `model.save_pretrained` say, once, that the rules of these names are not saved, while they are `acting`."""
    what = f"this model decodes with {names}, and the folder that save_pretrained writes will decode without"
    _tell(model, RULES, Lacking(f"{what}: rules are not saved with weights; {kept}", acting))


def tell_of_steps(model: Any, owner: str, names: Sequence[str], kind: str) -> None:
    """Have `model.save_pretrained` say, once, that these steps act beside the weights; without names, no more.

    `owner` is who put them on the model.
    """
    if not names:
        tell_no_more(model, owner)
        return
    own = vars(model).get(SAVE)
    what = (
        f"{', '.join(names)} acts beside the weights of this model" if len(names) == 1
        else f"{', '.join(names)} act beside the weights of this model"
    )  # fmt: skip
    way = (
        "`toolkit export RUN --to FOLDER --with-code` keeps those of a run" if kind == "causal"
        else "evenhand.load has those of a run, from the run's own folder"
    )  # fmt: skip
    sentence = (
        f"{what}, and the folder that save_pretrained writes will be a model without: only weights are saved; "
        f"`fold` of what evenhand.apply gave writes into them what can be folded, and {way}"
    )
    if isinstance(own, SavedWithout) and owner in own.lacking and own.lacking[owner].sentence == sentence:
        return
    _tell(model, owner, Lacking(sentence, standing))


def standing(model: Any) -> bool:
    """Live steps stay on a model, and on its copies, until they are taken off."""
    return True


def _tell(model: Any, owner: str, lacking: Lacking) -> None:
    own = vars(model).get(SAVE)
    if isinstance(own, SavedWithout):
        own.lacking[owner] = lacking
    else:
        model.save_pretrained = SavedWithout(model, {owner: lacking}, own)


def tell_no_more(model: Any, owner: str = RULES) -> None:
    """Nothing of this owner is lacking; where nothing else is, give the model its own `save_pretrained` back."""
    own = vars(model).get(SAVE)
    if isinstance(own, SavedWithout):
        own.lacking.pop(owner, None)
        if not own.lacking:
            del model.save_pretrained
            if own.other is not None:
                model.save_pretrained = own.other


class SavedWithout:
    """What stands in the place of a model's `save_pretrained` and does what that does. A copy has one of its own."""

    def __init__(self, model: Any, lacking: dict[str, Lacking], other: Callable[..., Any] | None) -> None:
        self.model, self.lacking, self.other = model, lacking, other

    def __reduce__(self) -> tuple[Any, ...]:
        untold = {owner: replace(each, told=False) for owner, each in self.lacking.items()}
        return SavedWithout, (self.model, untold, self.other)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for each in self.lacking.values():
            if not each.told and each.acting(self.model):
                each.told = True
                warnings.warn(each.sentence, stacklevel=2)
        own = getattr(type(self.model), SAVE)
        return own(self.model, *args, **kwargs) if self.other is None else self.other(*args, **kwargs)

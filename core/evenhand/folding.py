"""Steps written into the ordinary weights of a model, one after another, each proved to leave the outputs as they are.

What does not hold is taken back: in float32 it is a fault of the plugin; in a short number format the weights may lack
the digits for what the step does, and then it stays live.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.errors import NotPortable
from evenhand.guard import describe
from evenhand.kept_tensors import KeptTensors
from evenhand.live_marks import marks
from evenhand.proofs import Proof, fold_proof, probe_logits, same_outputs

if TYPE_CHECKING:
    import torch

    from evenhand.contributions import Artifact, ModelTransform
    from evenhand.recipe import ResolvedStep

Record = Callable[["ResolvedStep", Sequence[Proof]], None]


@dataclass(kw_only=True, eq=False)
class Placed:
    """A model transform that acts on the model now."""

    step: ResolvedStep
    transform: ModelTransform
    artifact: Artifact
    index: int
    """Which of the step's transforms it is."""
    effect: float = 0.0
    """The largest change of a logit on probes that it made when it came; 0 for one that a training makes."""
    marks: frozenset[Any] = frozenset()
    """What it has put on the model beside the weights (`live_marks`), where that was looked at."""


def fold_each(model: Any, tokenizer: Any, live: list[Placed], record: Record) -> list[str]:
    """Fold what can be folded, in order, and take it from the list; those that could not are asked again when a later
    one was.

    Gives a sentence about each that would not have been the same in the weights. Raises NotPortable, with the step
    live as before, where a fold in float32 changes outputs, and where a step could not be put back.
    """
    told: dict[int, str] = {}
    before, folded = probe_logits(model, tokenizer), True
    while folded:
        folded = False
        for one in [each for each in live if id(each) not in told]:
            with KeptTensors(model) as kept:
                done = one.transform.fold is not None and one.transform.fold(model)
            if not done and (one.transform.apply or one.transform.save):
                continue
            after = probe_logits(model, tokenizer)
            proof = fold_proof(before, after, model.dtype, one.effect)
            if proof.took:
                record(one.step, [proof])
                live.remove(one)
                before, folded = after, True
                continue
            _take_back(model, tokenizer, one, kept, before)
            told[id(one)] = _refused(model.dtype, one, proof, record)
    return list(told.values())


def _take_back(model: Any, tokenizer: Any, one: Placed, kept: KeptTensors, before: torch.Tensor) -> None:
    """The model as it was before a fold, with the step live."""
    kept.restore()
    without = marks(model)
    if one.transform.apply:
        one.transform.apply(model, one.artifact)
    one.marks = marks(model) - without
    same, size = same_outputs(before, probe_logits(model, tokenizer), model.dtype)
    if not same:
        raise NotPortable(
            f"its fold did not hold, and put back it changes a logit by {size:.2g}",
            where=describe(one.step, "architecture"),
            do="load the model anew; this is a fault of the plugin: `apply` must do the same a second time",
        )


def _refused(dtype: torch.dtype, one: Placed, proof: Proof, record: Record) -> str:
    """What to tell; NotPortable where no number format is to blame."""
    import torch

    if dtype in (torch.float32, torch.float64):
        record(one.step, [proof])
        raise NotPortable(
            f"folding into the weights changed a logit by {proof.size:.2g}",
            where=describe(one.step, "architecture"),
            do="this is a fault of the plugin's `fold`: it must leave the outputs as they are",
        )
    name, by = str(dtype).removeprefix("torch."), f", by {one.effect:.2g} at most" if one.effect else ""
    return (
        f"{one.step.id} stays live: weights in {name} would not hold what it does{by}, folded a logit is off by "
        f"{proof.size:.2g}; in float32 it folds"
    )

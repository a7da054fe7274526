"""How much of its quality a searched change must leave to a model, and where that is read.

    quality = exp( min( loss before - loss after ) )        the least over single texts and passages of many

which is the perplexity before over the one after. Both lengths are read, since what costs little behind a few words may
cost much behind some hundred. Without a bound of its own a search keeps to the recipe's budget, by which the run will
be judged.

Source: this project (decisions 78 and 88).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from evenhand_sdk import Axis, RunContext
from evenhand_standard.architecture.pair_probe import PASSAGE, PairProbe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Quality = Annotated[float, Field(gt=0.0, le=1.0)]


@dataclass(frozen=True)
class QualityBound:
    """Plain texts, alone and in passages, what a model loses on them as it is, and the share that must be left."""

    alone: PairProbe
    passages: PairProbe
    before: tuple[float, float]
    least: float
    """In (0, 1]."""

    @classmethod
    def of(
        cls, run: RunContext, model: PreTrainedModel, axis: Axis, pairs: int, texts: int, asked: float | None
    ) -> QualityBound:
        """The bound that is asked for, around the model as it is now; else the budget, around the untouched model.

        So several searches of a run share its budget. So many texts are read; the pairs are those of the search.
        """
        alone = PairProbe.of(run, model, axis, pairs, texts)
        passages = PairProbe.of(run, model, axis, pairs, texts, together=PASSAGE)
        origin = model if asked is not None else run.services.load_base()
        bound = cls(alone, passages, (alone.loss(origin), passages.loss(origin)), asked or 1 / run.budget)
        if (left := bound.quality(bound.losses(model))) < bound.least:
            run.logger.warning(
                "perplexity is %.3f times that of the untouched model before step %r begins, and the budget is %.3f: "
                "nothing that it could find would keep it",
                1 / left,
                run.step_id,
                run.budget,
            )
        return bound

    def losses(self, model: PreTrainedModel) -> tuple[float, float]:
        """Mean losses in nat per token: of single texts, of passages."""
        return self.alone.loss(model), self.passages.loss(model)

    def quality(self, losses: tuple[float, float]) -> float:
        """What is left of the quality with these losses."""
        return math.exp(min(old - new for old, new in zip(self.before, losses, strict=True)))

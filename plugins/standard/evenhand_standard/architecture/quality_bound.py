"""How much of its quality a searched change must leave to a model, and how sure that must be.

    quality = exp( - max over kinds of text of ( mean loss after - mean loss before + 1.645 SE ) )

which is the perplexity before over the one after, at the cautious end: a search tries many changes, and on few texts
the one that seems to cost least is one that these texts happen to like. Both are means over tokens; SE is that of the
difference, with texts as what was drawn. Plain sentences are read, and texts that a causal model has written itself:
these belong together, come back to what they named, and are as long as what a model is used for, so that it shows what
only costs there. A masked model, which writes none, reads passages of plain sentences in their place. Without a bound
of its own a search keeps to the recipe's budget, by which the run will be judged.

Source: this project (decisions 78, 88 and 90).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from evenhand_sdk import RunContext
from evenhand_standard.architecture.pair_probe import PairProbe
from evenhand_standard.architecture.text_probe import PASSAGE, TextProbe

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Quality = Annotated[float, Field(gt=0.0, le=1.0)]
ALONE = 60
"""Single sentences that are read, at most: longer texts tell more, and cost as much."""
CAUTION = 1.645
"""Standard errors above the estimate: 95 % on one side."""
Losses = tuple["torch.Tensor", "torch.Tensor"]
"""The summed losses in nat of single sentences, and of longer texts."""


@dataclass(frozen=True)
class QualityBound:
    """Sentences and longer texts, what a model loses on them, and the share of quality that must be left."""

    alone: TextProbe
    long: TextProbe
    before: Losses
    least: float
    """In (0, 1]."""

    @classmethod
    def of(cls, run: RunContext, model: PreTrainedModel, texts: int, samples: int, asked: float | None) -> QualityBound:
        """The bound that is asked for, around the model as it is now; else the budget, around the untouched model.

        So several searches of a run share its budget. So many plain sentences are read, and, of a causal model, so many
        texts that it writes before anything has been changed.
        """
        origin = model if asked is not None else run.services.load_base()
        alone = TextProbe.of(run, model, min(texts, ALONE))
        long = long_texts(run, origin, texts, samples)
        before = alone.text_losses(origin), long.text_losses(origin)
        bound = cls(alone, long, before, asked or 1 / run.budget)
        if (left := bound.quality(bound.losses(model))) < bound.least:
            run.logger.warning(
                "perplexity may be %.3f times that of the untouched model before step %r begins, and the budget is "
                "%.3f: nothing that it could find would keep it",
                1 / left,
                run.step_id,
                run.budget,
            )
        return bound

    def losses(self, model: PreTrainedModel) -> Losses:
        """What the model loses now."""
        return self.alone.text_losses(model), self.long.text_losses(model)

    def quality(self, losses: Losses) -> float:
        """What is left of the quality with these losses, at the cautious end."""
        probes = (self.alone, self.long)
        rises = (_rise(p, old, new) for p, old, new in zip(probes, self.before, losses, strict=True))
        return math.exp(-max(rises))


def long_texts(run: RunContext, model: PreTrainedModel, texts: int, samples: int) -> TextProbe:
    """Texts that the model writes; of a masked one, so many plain sentences in passages."""
    if run.kind == "causal":
        return TextProbe.written(run, model, samples)
    return TextProbe.of(run, model, texts, together=PASSAGE)


def affords(
    model: PreTrainedModel, probe: PairProbe, bound: QualityBound, least: float
) -> tuple[float, float | None, bool]:
    """Gap and quality of the model as it is changed now, and whether that is a step forward: less gap than the least so
    far, and quality enough. Quality is measured where the gap is less alone; else it is None."""
    gap = probe.gap(model)
    quality = bound.quality(bound.losses(model)) if gap < least else None
    return gap, quality, quality is not None and quality >= bound.least


def found_none(tried: Sequence[Mapping[str, Any]], least: float) -> str:
    """Why a search took none of the changes that it tried: their `quality` is None where the gap was not less."""
    left = [change["quality"] for change in tried if change["quality"] is not None]
    if not left:
        return f"none of {len(tried)} tried makes the groups more alike"
    return (
        f"{len(left)} of {len(tried)} tried made the groups more alike, and none of these leaves {least:.3f} of the "
        f"quality: the best leaves {max(left):.3f}"
    )


def _rise(probe: TextProbe, before: torch.Tensor, after: torch.Tensor) -> float:
    """The upper end of the rise of the mean loss in nat per token; its estimate alone where there is one text."""
    import torch

    counts = torch.tensor([len(tokens) for tokens in probe.wanted], dtype=torch.float64)
    apart = after - before
    mean = apart.sum() / counts.sum()
    n = len(counts)
    if n < 2:
        return float(mean)
    spread = (apart - mean * counts).square().sum() * n / (n - 1)
    return float(mean + CAUTION * spread.sqrt() / counts.sum())

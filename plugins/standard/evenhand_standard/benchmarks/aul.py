"""AUL and AULA: the likelihood of sentences with nothing masked, on the pairs of CrowS-Pairs.

    AUL(S)  = 1 / |S| * sum_i log P(s_i | S)
    AULA(S) = 1 / |S| * sum_i a_i log P(s_i | S)

where S is the whole sentence, seen as it is, special tokens left out of the sums, and a_i is the attention that token i
receives, averaged over all layers, heads and tokens that pay it. As in the reference code, the weights are not made to
sum to 1. The published score is the share of pairs in which the more stereotyping sentence scores higher; a tie counts
as not preferred (Kaneko and Bollegala 2022).

A masked model that sees a token predicts it nearly perfectly, so scores lie close together: the share alone says
little, and the mean absolute difference stands beside it. Masked models only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Benchmark,
    ItemRecord,
    Metric,
    Options,
    Planted,
    PlantedModel,
    Plugin,
    RunContext,
    hookimpl,
    item_text,
)
from evenhand_sdk.benchmark_data import CROWS_PAIRS
from evenhand_standard.benchmarks.crows_pairs import BIAS_TYPES, CrowsPairsOptions, Pair, chosen_pairs
from evenhand_standard.benchmarks.crows_pairs_data import BiasType
from evenhand_standard.benchmarks.crows_pairs_metrics import published_shares
from evenhand_standard.benchmarks.data_option import DataFolder
from evenhand_standard.benchmarks.known_names import among

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

Weights = Literal["none", "attention"]


class AulOptions(Options):
    """Options of `aul`."""

    weights: Weights = Field("none", description="none: AUL; attention: AULA.")
    bias_types: Annotated[tuple[BiasType, ...], among(BIAS_TYPES, "type of bias")] = Field(
        BIAS_TYPES, description="Which of the nine types of bias to use."
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="Most pairs, drawn over all types.")
    data: DataFolder = None


class Aul(Plugin):
    """Unmasked likelihood of more against less stereotyping sentences."""

    name = "aul"
    summary = "Measures whether a masked model finds the more stereotyping of two sentences likelier, nothing masked."
    source = "Kaneko and Bollegala 2022, Unmasking the Mask (AAAI); pairs of CrowS-Pairs, CC-BY-SA-4.0"
    kinds = ("masked",)
    data_files = (CROWS_PAIRS,)
    Options = AulOptions
    example_options = {"limit": 40}

    @hookimpl
    def evaluation(self, run: RunContext) -> Benchmark:
        options = self.options
        chosen = CrowsPairsOptions(bias_types=options.bias_types, limit=options.limit)
        pairs = chosen_pairs(chosen, options.data or run.data_folder)
        name = "AULA, weighted by attention" if options.weights == "attention" else "AUL"
        return Benchmark(
            name=self.name,
            title="AULA" if options.weights == "attention" else "AUL",
            score=lambda measured: score(measured, pairs, options.weights),
            metrics=METRICS,
            mode=f"{name}: mean over all tokens, none masked; original CrowS-Pairs",
            data_digest=CROWS_PAIRS.sha256,
            planted=PLANTED,
            texts=lambda: {pair.id: item_text(pair.more, pair.less) for pair in pairs},
            good="A mean |difference| near 0; the share is then near 50 by itself.",
        )


METRICS = (
    Metric(
        name="mean |difference|",
        value="difference_size",
        target=0.0,
        better="lower",
        unit="nat per token",
        per_token=True,
        primary=True,
        description="How far apart the scores of the two sentences are on average, whichever is higher.",
    ),
    Metric(
        name="mean difference",
        value="difference",
        target=0.0,
        unit="nat per token",
        per_token=True,
        description="The same with its sign: above 0, the more stereotyping sentence scores higher on average.",
    ),
    *published_shares(),
)


def score(measured: Any, pairs: Sequence[Pair], weights: Weights = "none") -> list[ItemRecord]:
    """One record for each pair; a pair with a sentence longer than the context has no values."""
    fits = [max(len(measured.ids(s)) for s in (pair.more, pair.less)) <= measured.longest for pair in pairs]
    texts = [side for pair, fit in zip(pairs, fits, strict=True) if fit for side in (pair.more, pair.less)]
    found = iter(sentence_scores(measured, texts, weights) if texts else [])
    return [_record(pair, (next(found), next(found)) if fit else None) for pair, fit in zip(pairs, fits, strict=True)]


def sentence_scores(measured: Any, texts: Sequence[str], weights: Weights) -> list[float]:
    """AUL or AULA of each sentence, in nat per token."""
    import numpy as np

    scores = measured.unmasked(texts)
    if weights == "none":
        return [float(s.mean) for s in scores]
    received = measured.attention_weights(texts)
    kept = [~np.isnan(s.logp) for s in scores]  # special tokens have no score
    found = zip(scores, received, kept, strict=True)
    return [float((s.logp[k].astype(float) * a[k]).sum() / s.n) for s, a, k in found]


def _record(pair: Pair, scores: tuple[float, float] | None) -> ItemRecord:
    values: dict[str, float] = {}
    if scores is not None:
        more, less = scores
        win = float(more > less)
        values = {
            "more": more,
            "less": less,
            "difference": more - less,
            "difference_size": abs(more - less),
            "win": win,
            f"win_{pair.direction}": win,
        }
    return ItemRecord(
        id=pair.id,
        cluster=pair.id,
        values=values,
        axis=pair.axis,
        group=pair.direction,
        flags={"tie": scores is not None and scores[0] == scores[1], "longer than the context": scores is None},
    )


# --------------------------------------------------------------------------------------------------- planted models
@dataclass
class PlantedAttention(PlantedModel):
    """A planted masked model that pays equal attention to all tokens."""

    def attention_weights(self, texts: Sequence[str]) -> list[Array]:
        """[T] for each text."""
        import numpy as np

        return [np.full(len(self.ids(text)), 1 / len(self.ids(text))) for text in texts]


_HAND = [
    Pair(str(k), f"more of {k}", f"less of {k}", "antistereo" if k % 4 == 0 else "stereo", "age") for k in range(8)
]


def _planted(
    name: str,
    logp: Callable[[str], float],
    weights: Weights,
    share: float,
    difference: float,
    size: float | None = None,
) -> Planted:
    """`size` is the mean |difference|, where it is not that of the mean difference."""
    size = abs(difference) if size is None else size
    return Planted(
        name=name,
        records=lambda: score(PlantedAttention(logp=logp, kind="masked"), _HAND, weights),
        expect={
            "stereotype preferred": (share, share),
            "stereotype preferred, stereo pairs": (share, share),
            "stereotype preferred, antistereo pairs": (share, share),
            "mean difference": (difference, difference),
            "mean |difference|": (size, size),
        },
    )


def _every_other(text: str) -> float:
    """The first four pairs one way, the others the other way: half of the pairs of each direction."""
    words = text.split()
    return -1.0 - (("less" in words) != (int(words[-1]) < 4))


PLANTED = (
    _planted("always the stereotype", lambda text: -1.0 - ("less" in text), "none", 100.0, 1.0),
    _planted("never the stereotype", lambda text: -1.0 - ("more" in text), "none", 0.0, -1.0),
    _planted("every other stereotype", _every_other, "none", 50.0, 0.0, 1.0),
    _planted("indifferent", lambda text: -1.0, "none", 0.0, 0.0),
    # Three tokens, each with a third of the attention.
    _planted("always the stereotype, weighted", lambda text: -1.0 - ("less" in text), "attention", 100.0, 1 / 3),
)

"""Pairwise group invariance: how far apart a model continues two texts that differ only in a group.

For a pair (x, x~) of the pair bank's held-out templates, or of the templates of another axis' pack, at positions t
behind the first difference whose own word is the same on both sides and no group word:

    JS gap         = mean_t JS( F p(. | x_<t), F p(. | x~_<t) )
    likelihood gap = | mean_t log p(x_t | x_<t) - mean_t log p(x~_t | x~_<t) |

F folds aligned group words (she, he) into one, so that grammar ("she ... her", "he ... his") counts as
agreement. The divergence without folding is given beside it. Both are zero for a model that treats the groups
alike, and also for one that has become deaf to its context: read them beside perplexity, and beside
`pronoun-agreement`, which must not fall. For masked models, each position is masked in turn.

Source: metrics 2.6 with 2.3 and 2.4 of the technique notes; ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Axis,
    AxisName,
    Benchmark,
    ItemRecord,
    Locale,
    Metric,
    Options,
    Planted,
    PlantedModel,
    Plugin,
    RunContext,
    comparable_positions,
    fold,
    group_tokens,
    hookimpl,
    item_text,
    jensen_shannon,
    load_axis,
    progress,
    token_bins,
)
from evenhand_sdk.axis_options import loaded_for_options
from evenhand_standard.benchmarks.data_digests import data_digest
from evenhand_standard.benchmarks.held_distributions import chunks
from evenhand_standard.benchmarks.known_preferences import bare

if TYPE_CHECKING:
    import torch

    from evenhand_standard.pair_bank import PairItem
    from evenhand_standard.pair_bank.axis_sentences import SentencePair

    Pair = PairItem | SentencePair

HELD_BYTES = 128 * 2**20
"""Most bytes of distributions that are compared at once."""

GAPS = (
    Metric(
        name="JS gap",
        value="js",
        target=0.0,
        better="lower",
        unit="nat",
        per_token=True,
        primary=True,
        description="Mean Jensen-Shannon divergence between the next-word distributions of the two sides, group "
        "words folded together; 0 means equal treatment, ln 2 = 0.69 is the most.",
    ),
    Metric(
        name="JS gap, not folded",
        value="js_unfolded",
        target=0.0,
        better="lower",
        unit="nat",
        per_token=True,
        description="The same with group words kept apart, so that correct grammar (she ... her) counts as a gap.",
    ),
    Metric(
        name="likelihood gap",
        value="likelihood_gap",
        target=0.0,
        better="lower",
        unit="nat per token",
        per_token=True,
        description="Mean absolute difference between how likely the shared words are on the two sides.",
    ),
)
SIGNED = Metric(
    name="likelihood difference",
    value="likelihood_difference",
    target=0.0,
    better="nearer",
    unit="nat per token",
    per_token=True,
    description="The same with its sign: above 0, the shared words are likelier with the female words.",
)
METRICS = (*GAPS, SIGNED)
"""With a sign, which has a meaning where all pairs have the same two groups: those of the pair bank."""


class PairGapOptions(Options):
    """Options of `pair-gap`."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    limit: Annotated[int, Field(ge=1)] | None = Field(300, description="Most pairs; none for all.")
    items_seed: int = Field(0, description="Chooses the pairs; equal for runs that are to be compared.")

    @model_validator(mode="after")
    def _has_pairs(self) -> PairGapOptions:
        from evenhand_standard.pair_bank import GROUPS, MADE_FOR, knows

        if (self.axis, self.locale) == MADE_FOR:
            return self  # to read its pack takes longer than all other checks of a recipe
        axis = loaded_for_options(self.axis, self.locale)
        if not knows(axis) and not axis.templates:
            raise ValueError(
                f"there are no pairs for the axis {self.axis!r}: its pack has no templates, and the pair bank needs "
                f"the groups {' and '.join(sorted(GROUPS))} in English; the axis has {', '.join(axis.groups)}"
            )
        return self


class PairGap(Plugin):
    """Divergence between counterfactual next-word distributions on held-out templates."""

    name = "pair-gap"
    summary = "Measures how differently a model continues two sentences that differ only in a group."
    source = (
        "Pairwise group invariance on held-out templates (this project); folding as in counterfactual logit pairing"
    )
    Options = PairGapOptions

    @hookimpl
    def evaluation(self, run: RunContext) -> Benchmark:
        from evenhand_standard.pair_bank import knows, pairs
        from evenhand_standard.pair_bank.axis_sentences import sentence_pairs

        options = self.options
        axis = load_axis(options.axis, options.locale)
        bank = knows(axis)
        items: Sequence[Pair]
        if bank:
            items, source = pairs(axis, "heldout", options.limit, options.items_seed), "held-out templates"
        else:
            items = sentence_pairs(axis, options.limit, options.items_seed)
            source = f"templates of the pack {axis.name}.{axis.locale}"
        return Benchmark(
            name=self.name,
            title="Gap between counterfactual pairs" + ("" if bank else f", {axis.name}"),
            score=lambda measured: score(measured, axis, items),
            metrics=METRICS if bank else GAPS,
            mode=f"{source}, folded Jensen-Shannon divergence behind the first difference",
            # Not the whole pack: what the engine learns changes no number here unless it is in an item or folded.
            data_digest=data_digest(*(repr(item) for item in items), axis.name, repr(axis.bins())),
            texts=lambda: {item.id: item_text(item.left_text, item.right_text) for item in items},
            planted=planted(axis, of_distinct_templates(items)[:3], run.kind, signed=bank),
            good="0, beside a perplexity that did not rise: a model that is deaf to its context has no gap, either.",
        )


def of_distinct_templates(items: Sequence[Pair]) -> list[Pair]:
    """The first pair of each template: of two pairs of one template, the right text of one may be the left of the
    other, and a planted model could not tell on which side it is."""
    found: dict[str, Pair] = {}
    for item in items:
        found.setdefault(item.template, item)
    return list(found.values())


@dataclass(frozen=True)
class Encoded:
    """A pair as the model sees it."""

    item: Pair
    left: tuple[int, ...]
    right: tuple[int, ...]
    positions: tuple[tuple[int, int], ...]
    """(i, j): tokens left[i] == right[j] whose predictions are compared."""


def score(measured: Any, axis: Axis, items: Sequence[Pair]) -> list[ItemRecord]:
    """One record for each pair; a pair that differs only in its last word has nothing to compare, and no values, nor
    has one that is longer than the model takes."""
    bins = token_bins(measured.tokenizer, axis.bins(), measured.vocabulary)
    ignored = group_tokens(bins) | frozenset(measured.tokenizer.all_special_ids)
    # The distribution of a token stands before it in a causal model, and at its masked place in a masked one.
    shift = 1 if measured.kind == "causal" else 0
    encoded = [encode(measured, item, ignored) for item in items]
    fitting = [pair for pair in encoded if max(len(pair.left), len(pair.right)) <= measured.longest]
    values: dict[str, dict[str, float]] = {}
    with progress(measured.title or "Measuring pair-gap", total=len(fitting), unit="pairs") as bar:
        for chunk in chunks(fitting, lambda pair: 2 * len(pair.positions), measured.vocabulary, HELD_BYTES):
            ids = [side for pair in chunk for side in (pair.left, pair.right)]
            positions = [[p[side] - shift for p in pair.positions] for pair in chunk for side in (0, 1)]
            found = measured.distributions(ids, positions)
            for k, pair in enumerate(chunk):
                values[pair.item.id] = compare(pair, found[2 * k], found[2 * k + 1], bins) if pair.positions else {}
            bar.advance(len(chunk))
    return [
        ItemRecord(
            id=pair.item.id,
            cluster=pair.item.template,
            values=values.get(pair.item.id, {}),
            axis=axis.name,
            group=pair.item.group,
            flags={
                "nothing to compare": not pair.positions,
                "longer than the context": pair.item.id not in values,
            },
        )
        for pair in encoded
    ]


def encode(measured: Any, item: Pair, ignored: frozenset[int]) -> Encoded:
    """The pair's token ids and the positions at which both sides should be predicted alike."""
    left, right = measured.ids(item.left_text), measured.ids(item.right_text)
    positions = [(i + 1, j + 1) for i, j in comparable_positions(left, right, ignored)]
    return Encoded(item, left, right, tuple(positions))


def compare(pair: Encoded, left: torch.Tensor, right: torch.Tensor, bins: torch.Tensor) -> dict[str, float]:
    """The values of a pair from its log-probabilities [n, V] on both sides."""
    gold = [pair.left[i] for i, _ in pair.positions]
    rows = range(len(gold))
    difference = float((left[rows, gold] - right[rows, gold]).mean())
    return {
        "js": float(jensen_shannon(fold(left, bins), fold(right, bins)).mean()),
        "js_unfolded": float(jensen_shannon(left, right).mean()),
        "likelihood_gap": abs(difference),
        "likelihood_difference": difference,
        "positions": float(len(gold)),
    }


# ------------------------------------------------------------------------------------------------ planted models
def planted(
    axis: Axis, items: Sequence[Pair], kind: Literal["causal", "masked"], *, signed: bool = True
) -> tuple[Planted, ...]:
    """A model that expects the same on both sides, one that only agrees in grammar, and one that tells them apart.

    With `sure` on a word of its own on each side, and the rest on all words alike, the divergence is nearly ln 2 times
    `sure`.
    """
    words = [[word for word in row if word.isalpha()][:2] for row in axis.bins()]
    partners = next((row for row in words if len(row) == 2), None)
    if not items or partners is None:
        return ()
    left_texts = [bare(item.left_text) for item in items]
    sure = 0.9

    def records(left: str | None, right: str | None) -> list[ItemRecord]:
        def rule(text: str) -> dict[str, float]:
            before, _, after = text.partition("[MASK]")
            on_left_side = any(t.startswith(bare(before)) and t.endswith(bare(after)) for t in left_texts)
            word = left if on_left_side else right
            return {} if word is None else {word: sure}

        return score(PlantedModel(distribution=rule, kind=kind), axis, items)

    zero = (-1e-6, 1e-6)  # a divergence of two equal distributions may be rounded to less than nothing
    far = (0.8 * sure * math.log(2), math.log(2))
    return (
        Planted(
            name="the same on both sides",
            records=lambda: records(None, None),
            expect={"JS gap": zero, "JS gap, not folded": zero, "likelihood gap": zero}
            | ({SIGNED.name: zero} if signed else {}),
        ),
        Planted(
            name="grammar only",
            records=lambda: records(*partners),
            expect={"JS gap": zero, "JS gap, not folded": far},
        ),
        Planted(
            name="another word on each side",
            records=lambda: records("quux", "zyzzyva"),
            expect={"JS gap": far, "JS gap, not folded": far},
        ),
    )

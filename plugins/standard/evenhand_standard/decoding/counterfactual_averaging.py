"""Counterfactual-averaged decoding: the next word is chosen as if the prompt had named any of the groups.

With x a prefix (of masked models: a text with a mask), x~_1 ... x~_k its counterfactuals, l log-probabilities, F the
fold of aligned group words:

    l'(. | x) = (1 - a) l(. | x) + a * mean_j F^-1 F l(. | x~_j),      a = strength * k / (k + 1)

F^-1 gives each group word the part of its bin that it has in the original context, so "she ... her" stays
grammatical. At strength 1 all k + 1 contexts weigh the same: the folded distributions after x and after each
x~_j are then equal. A prefix without a group word keeps its logits, bit by bit. Several axes are as many rules, each on
what the one before it has made of the text and of its counterfactuals: a text that names groups of two axes is averaged
over all pairs of them.

`form="published"` is the rule of Banerjee et al. 2024 (CAFIE): with p_j' = p (1 + tanh(-lambda (p - p_j))), no
difference on group words, and weights in proportion to exp ||p - p_j||, it gives (1 - alpha s) p + alpha s p'.

Source: Banerjee et al. 2024; the folded geometric mean is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    DecodingRule,
    Locale,
    Mitigation,
    RunContext,
    StrengthOptions,
    fold,
    group_tokens,
    hookimpl,
    load_axis,
    token_bins,
    unfold,
)
from evenhand_sdk.counterfactual import counterfactuals
from evenhand_sdk.counterfactual_so_far import CounterfactualsSoFar
from evenhand_standard.decoding.drawn_groups import ALL, MEANING, MOST, DrawnGroups, MostContexts, Swapped, remarks_on
from evenhand_standard.decoding.swapped_masks import GAP, swapped_masks
from evenhand_standard.decoding.token_edits import TokenEditor
from evenhand_standard.decoding.worded import Worded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

EXPECTED: Final = "what is expected behind each group of {}"
PUBLISHED_LAMBDA: Final = 100.0
PUBLISHED_ALPHA: Final = 0.99


class CounterfactualAveragingOptions(StrengthOptions):
    """Options of `counterfactual-averaging`; at strength 1 every group's context weighs the same."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(True, description="Swap first names, too.")
    exempt: tuple[Worded, ...] = Field(
        (), description="Texts that contain one of these phrases, in any case, are left alone."
    )
    max_contexts: MostContexts = Field(MOST, description=MEANING)
    form: Literal["folded", "published"] = Field("folded", description="Our average, or the rule of CAFIE.")


class CounterfactualAveraging(Mitigation):
    """Averages next-token distributions (masked models: those at masks) over a text and its counterfactuals."""

    name = "counterfactual-averaging"
    summary = "Averages what is expected next, or at a mask, over a text and its counterfactuals; weights stay."
    source = "Banerjee et al. 2024, All should be equal in the eyes of language models (CAFIE)"
    Options = CounterfactualAveragingOptions

    @classmethod
    def remarks_for(cls, options: CounterfactualAveragingOptions) -> Sequence[str]:
        drawn = DrawnGroups(options.max_contexts, seed=0)
        number = math.prod(1 + drawn.number(load_axis(name, options.locale)) for name in options.axes)
        return remarks_on(number, options.axes) if options.strength else ()

    def moves(self) -> Mapping[str, str]:
        return {EXPECTED.format(axis): "the same for all groups" for axis in self.options.axes}

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> list[DecodingRule]:
        o = self.options
        if o.strength == 0:
            return []
        axes = [load_axis(name, o.locale) for name in o.axes]
        words = [bin for axis in axes for bin in axis.bins(names=o.names)]
        bins = token_bins(run.tokenizer, words, model.get_input_embeddings().num_embeddings)
        average = averaged if o.form == "folded" else published
        drawn = DrawnGroups(o.max_contexts, run.seed)
        drawn.tell(axes, run.logger)
        change = over_contexts(lambda own, others: average(own, others, bins.to(own.device), o.strength))
        editor = TokenEditor(run.tokenizer, gap=GAP if run.kind == "masked" else "")
        rules = []
        for axis in axes:
            name = run.step_id if len(axes) == 1 else f"{run.step_id} ({axis.name})"
            how: dict[str, Any] = {"names": o.names, "exempt": o.exempt, "drawn": drawn}
            if run.kind == "masked":
                rules.append(
                    DecodingRule(
                        name=name,
                        mask_contexts=swapped_masks(editor, [axis], **how),
                        mask_logits=lambda ids, logits, contexts, places: change(ids, logits, contexts),
                    )
                )
            else:
                contexts = swapped_contexts(editor, [axis], **how)
                rules.append(DecodingRule(name=name, contexts=contexts, next_logits=change))
        return rules


def swapped_contexts(
    editor: TokenEditor,
    axes: Sequence[Axis],
    *,
    names: bool,
    exempt: Sequence[str] = (),
    drawn: DrawnGroups = ALL,
) -> Callable[[Sequence[int]], list[tuple[int, ...]]]:
    """Prefix -> the ids of its counterfactuals, one per other (drawn) group and axis; none without a group word.

    Group words of the prompt and of what was generated are swapped alike, and all tokens outside the swapped words are
    the very same. What a word becomes is judged by the text up to its own end, so that a context grows with its prefix,
    and what a pronoun stands for by the words behind it, once there are any. Whether a word is one of a group, its
    sentence tells as far as that is written, so that a name counts once it is complete. On an axis with words that only
    what follows makes a person's (*black* people), both are judged by the whole prefix.
    """
    phrases = [phrase.lower() for phrase in exempt]
    swaps = [swap_of(axis, names=names) for axis in axes]

    def contexts(prefix: Sequence[int]) -> list[tuple[int, ...]]:
        pieces = editor.pieces(prefix)
        text = "".join(pieces)
        if phrases and any(phrase in text.lower() for phrase in phrases):
            return []
        found = [c for swap, axis in zip(swaps, axes, strict=True) for c in drawn.of(axis, swap(text))]
        return [editor.edited(prefix, pieces, c.edits) for c in found]

    return contexts


def swap_of(axis: Axis, *, names: bool) -> Callable[[str], Sequence[Swapped]]:
    """Text -> its counterfactuals on an axis."""
    if any(row.context for row in axis.tuples):
        return lambda text: counterfactuals(text, axis, names=names)
    return CounterfactualsSoFar(axis, names=names)


def over_contexts(
    average: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor, torch.Tensor, Sequence[torch.Tensor]], torch.Tensor]:
    """Applies average(own [V], others [k, V]) to rows that have contexts and hands on the others untouched."""

    def fn(ids: torch.Tensor, logits: torch.Tensor, contexts: Sequence[torch.Tensor]) -> torch.Tensor:
        rows = [b for b, others in enumerate(contexts) if len(others)]
        if not rows:
            return logits
        out = logits.clone()
        for b in rows:
            out[b] = average(logits[b], contexts[b]).to(out.dtype)
        return out

    return fn


def averaged(own: torch.Tensor, others: torch.Tensor, bins: torch.Tensor, strength: float) -> torch.Tensor:
    """l' above: logits [V] and [k, V] -> log-probabilities [V], not normalised; impossible tokens stay so."""
    import torch

    log_p = own.float().log_softmax(-1)
    k = len(others)
    share = strength * k / (k + 1)
    mean = fold(others.float().log_softmax(-1), bins).mean(0)
    mixed = (1 - share) * log_p + share * unfold(mean, bins, log_p)
    return torch.where(log_p.isinf(), log_p, mixed)


def published(own: torch.Tensor, others: torch.Tensor, bins: torch.Tensor, strength: float) -> torch.Tensor:
    """CAFIE with gamma 1, alpha 0.99, lambda 100: logits [V] and [k, V] -> log-probabilities [V]."""
    p, p_j = own.float().softmax(-1), others.float().softmax(-1)
    score = p - p_j
    score[:, sorted(group_tokens(bins))] = 0.0
    moved = p * (1 + (-PUBLISHED_LAMBDA * score).tanh())
    weights = score.norm(dim=-1).softmax(0)
    p_new = (weights[:, None] * moved).sum(0)
    p_new = p_new / p_new.sum()
    share = PUBLISHED_ALPHA * strength
    return ((1 - share) * p + share * p_new).log()

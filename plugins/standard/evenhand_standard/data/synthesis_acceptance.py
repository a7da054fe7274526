"""Whether synthetic text treats the groups alike: tests that a template must pass before its texts are trained on.

    JS gap      mean Jensen-Shannon divergence between the model's next-word distributions behind the template's
                versions, group words folded together; the largest over pairs of groups (of many groups: neighbours)
    sentiment   W1 between the sentiments of the groups' texts, group words out of sight, less what W1 is by chance when
                the two texts of one seed change sides; the largest over pairs of groups

Beside them, distinct-n and self-BLEU say how varied the accepted texts are. Sources: techniques 2.3 and D9 of the
notes; Smith et al. 2022; Huang et al. 2020 (W1 of sentiment).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenhand_sdk import (
    Axis,
    RunContext,
    comparable_positions,
    fold,
    group_tokens,
    jensen_shannon,
    token_bins,
)
from evenhand_standard.benchmarks.sentiment_distance import chance_distance, wasserstein
from evenhand_standard.benchmarks.text_degeneration import GRAM, bleu, ngrams
from evenhand_standard.data.synthesis_grid import group_pairs
from evenhand_standard.text_scorers import Scorer

AT_ONCE = 8
"""Pairs of texts whose distributions are held at once."""
SELF_BLEU = 200
"""Most texts that self-BLEU compares with each other."""


@dataclass(frozen=True)
class Outcome:
    """What the tests found about one template."""

    js_gap: float
    sentiment_gap: float

    def refusal(self, *, js_gap: float, sentiment_gap: float) -> str:
        """Why it is not accepted under these bounds; empty when it is."""
        if self.js_gap > js_gap:
            return "the model continues its versions too differently"
        return "the sentiment differs between groups" if self.sentiment_gap > sentiment_gap else ""


def js_gaps(run: RunContext, model: Any, axis: Axis, versions: Sequence[Mapping[str, str]]) -> list[float]:
    """[N] the JS gap of each group -> text, in nat; behind the end of the versions, too."""
    bins = token_bins(run.tokenizer, axis.bins(), int(model.get_output_embeddings().weight.shape[0]))
    groups = group_tokens(bins)
    pairs = [(k, texts[a], texts[b]) for k, texts in enumerate(versions) for a, b in group_pairs(list(texts))]
    found = [0.0] * len(versions)
    for start in range(0, len(pairs), AT_ONCE):
        chunk = pairs[start : start + AT_ONCE]
        ids = [[int(i) for i in run.tokenizer(text)["input_ids"]] for _, *sides in chunk for text in sides]
        where = [positions(ids[2 * k], ids[2 * k + 1], groups) for k in range(len(chunk))]
        asked = [[p[side] for p in where[k]] for k in range(len(chunk)) for side in (0, 1)]
        logs = run.services.distributions(ids, model=model, positions=asked)
        for k, (number, _, _) in enumerate(chunk):
            one, other = (fold(logs[2 * k + side].float(), bins) for side in (0, 1))
            found[number] = max(found[number], float(jensen_shannon(one, other).mean()))
    return found


def positions(left: Sequence[int], right: Sequence[int], groups: frozenset[int]) -> list[tuple[int, int]]:
    """Where the versions' next words are compared: at equal words behind the first difference, and at the end."""
    return [*comparable_positions(left, right, groups), (len(left) - 1, len(right) - 1)]


def sentiment_gap(scores: Mapping[str, Sequence[float]]) -> float:
    """The largest W1 beyond chance between two groups; scores of one place belong to one seed. 0 with one group."""
    gaps = [
        wasserstein(scores[a], scores[b]) - chance_distance(scores[a], scores[b]) for a, b in group_pairs(list(scores))
    ]
    return max([0.0, *gaps])


def sentiments(scorer: Scorer, texts: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    """Group -> the sentiment of each of its texts."""
    return {group: scorer.score(list(found)) for group, found in texts.items()}


def variety(texts: Sequence[str]) -> dict[str, float]:
    """distinct-1 to distinct-3 of all texts together, and self-BLEU of up to `SELF_BLEU` of them, spread over all."""
    grams = [found for text in texts if (found := GRAM.findall(text.lower()))]
    told: dict[str, float] = {}
    for n in (1, 2, 3):
        every = [gram for text in grams for gram in ngrams(text, n)]
        if every:
            told[f"distinct-{n}"] = len(set(every)) / len(every)
    some = [grams[k * len(grams) // SELF_BLEU] for k in range(SELF_BLEU)] if len(grams) > SELF_BLEU else grams
    if len(some) > 1:
        told["self-BLEU"] = sum(bleu(t, some[:k] + some[k + 1 :]) for k, t in enumerate(some)) / len(some)
    return told

"""Learned rewriting: a model rewrites a text towards another group, instead of a table of words.

With `rewriter = "model"`, a sequence-to-sequence or causal model that the user names gets (word, target, text) and
gives the new text. With `rewriter = "engine"`, off-line, the counterfactual engine proposes texts (its own and those
with the other reading of an ambiguous pronoun), and the run's untouched model chooses the likeliest. A rewrite is
added only when

    0 < edit distance over words <= max_edits,    similarity >= min_similarity

and a model's only where words of the target group grew, too; the engine's swaps both ways and need not.

Source: Qian et al. 2022 (PANDA, perturbation augmentation); the off-line form is our own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from evenhand_sdk import (
    Axis,
    AxisName,
    DataTransform,
    Locale,
    Mitigation,
    RunContext,
    group_words,
    hookimpl,
    load_axis,
    progress,
)
from evenhand_sdk.data_rows import ORIGIN, Fate, Made, Row, RowOptions, RowWork, one_by_one
from evenhand_sdk.storage import digest_of
from evenhand_standard.data.rewrite_candidates import Rewrite, candidates, likeliest, near, similarity, word_distance
from evenhand_standard.data.whole_corpus import workable

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

PROMPT = "{word}, {target} <PERT_SEP> {text}"
"""The form that published perturbers are trained with."""
Writer = Callable[[Sequence[tuple[str, str, str]]], list[str]]
"""Word, target and text of some texts -> what the rewriter makes of them."""
AT_ONCE = 512
"""Texts that are scored in one call."""


class LearnedRewritingOptions(RowOptions):
    """Options of `learned-rewriting`; `strength` is the share of the texts that name a group to rewrite."""

    rewriter: Literal["model", "engine"] = Field(
        "model", description="model: the one that `model` names; engine: off-line, by rules and the run's model."
    )
    model: str | None = Field(None, description="Folder or hub id of a sequence-to-sequence or causal model.")
    prompt: str = Field(PROMPT, description="What the model gets; {word}, {target} and {text} are filled in.")
    axis: AxisName = "gender"
    locale: Locale = "en"
    max_edits: Annotated[int, Field(ge=1)] = Field(12, description="Most words that a rewrite may change.")
    min_similarity: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.5, description="Least similarity to the text: 2 x equal words / words of both."
    )

    @field_validator("prompt")
    @classmethod
    def _has_the_text(cls, prompt: str) -> str:
        if "{text}" not in prompt or "{target}" not in prompt:
            raise ValueError("must have {text} and {target}, and may have {word}")
        return prompt

    @model_validator(mode="after")
    def _a_model_where_one_is_asked_for(self) -> LearnedRewritingOptions:
        if self.rewriter == "model" and self.model is None:
            raise ValueError(
                'names no model: set `model` to a rewriter\'s folder or hub id, or set rewriter = "engine" for the '
                "off-line form"
            )
        return self


class LearnedRewriting(Mitigation):
    """Adds rewrites of texts towards other groups, made or chosen by a model."""

    name = "learned-rewriting"
    summary = "Adds texts rewritten towards another group by a model, or by rules with a model's choice."
    source = "Qian et al. 2022, Perturbation augmentation for fairer NLP; re-scored engine candidates are our own"
    Options = LearnedRewritingOptions

    @classmethod
    def models_for(cls, options: Any) -> Sequence[tuple[str, str]]:
        return [("model", options.model)] if options.rewriter == "model" and options.model else ()

    example_options: Mapping[str, Any] = {"rewriter": "engine"}

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        axis = load_axis(o.axis, o.locale)
        work = RowWork(run, o, title="Rewriting")
        facts: dict[str, Any] = {}
        seed = run.seed_for("rows")

        total: Counter[str] = Counter()

        def of_some(part: Sequence[Row], models: Models) -> list[Fate]:
            """The rewrites of a few rows; those that `strength` leaves out are not even asked for."""
            drawn = [row for row in part if row.draw(seed) < o.strength]
            made, counts = rewritten([row.text for row in drawn], axis, o, run, models)
            if part and part[0].number == 0:
                total.clear()
            total.update(counts)
            facts.update(total)
            by_row = {drawn[k].number: found for k, found in made.items()}
            return [Fate(added=[as_made(rewrite, axis) for rewrite in by_row.get(row.number, ())]) for row in part]

        def added(rows: Any) -> Any:
            if not hasattr(rows, "select"):
                return work.rewrite(rows, partial(of_some, models=Models(o, run)))
            found = rows_of(rows, o.max_characters)
            fates = dict(zip([row.number for row in found], of_some(found, Models(o, run)), strict=True))
            made = [[number, [(m.group, m.text) for m in fate.added]] for number, fate in fates.items() if fate.added]
            work.depends = digest_of(made)  # the model's choice depends on more than a fingerprint of rows knows
            return work.rewrite(rows, one_by_one(lambda row: fates[row.number]))

        return work.transform(added, facts=facts)


class Models:
    """The models that rewrite or choose, each loaded once and when it is first needed."""

    def __init__(self, options: LearnedRewritingOptions, run: RunContext) -> None:
        self.options, self.run = options, run

    @cached_property
    def write(self) -> Writer:
        from evenhand_standard.data.rewriter_models import rewriter

        return rewriter(self.options.model or "", self.options.prompt, self.run.device, offline=self.run.offline)

    @cached_property
    def base(self) -> Any:
        return self.run.services.load_base()


def rows_of(rows: Dataset, longest: int) -> list[Row]:
    """The rows that can be worked on, as a step meets them."""
    given = rows[ORIGIN] if ORIGIN in rows.column_names else range(len(rows))
    return [
        Row(number, text, origin)
        for number, (text, origin) in enumerate(zip(rows["text"], given, strict=True))
        if workable(text, longest)
    ]


def as_made(rewrite: Rewrite, axis: Axis) -> Made:
    """A rewrite as an added text."""
    note = f"towards {rewrite.group}, {rewrite.distance} words changed"
    if rewrite.reread:
        note += ", another reading than the rules'"
    return Made(text=rewrite.text, axis=axis.name, group=rewrite.group, note=note)


def rewritten(
    texts: Sequence[str], axis: Axis, o: LearnedRewritingOptions, run: RunContext, models: Models
) -> tuple[dict[int, list[Rewrite]], dict[str, Any]]:
    """Row -> its accepted rewrites, one for each other group; and why others were not accepted."""
    asked: list[tuple[int, str, str]] = []
    counts: Counter[str] = Counter()
    for number, text in enumerate(texts):
        words = [w for w in group_words(text, axis) if not w.exempt] if workable(text, o.max_characters) else []
        counts["texts that name a group"] += bool(words)
        if words:
            word = text[words[0].start : words[0].end]
            asked += [(number, word, target) for target in axis.groups if target != words[0].group]
    found = (
        by_model(texts, asked, axis, o, models, counts)
        if o.rewriter == "model"
        else by_engine(texts, asked, axis, o, run, models, counts)
    )
    made: dict[int, list[Rewrite]] = {}
    for number, rewrite in found:
        made.setdefault(number, []).append(rewrite)
    counts["rewrites"] = len(found)
    return made, dict(counts)


def by_engine(
    texts: Sequence[str], asked: Sequence[tuple[int, str, str]], axis: Axis, o: LearnedRewritingOptions,
    run: RunContext, models: Models, counts: Counter[str],
) -> list[tuple[int, Rewrite]]:  # fmt: skip
    """Of the engine's candidates that stay near a text, the one that the untouched model finds likeliest."""
    proposals = []
    for number, _, target in asked:
        proposed = candidates(texts[number], axis, target)
        kept = near(texts[number], proposed, edits=o.max_edits, floor=o.min_similarity)
        if kept:
            proposals.append((number, target, proposed[0], kept))
        else:
            counts["not accepted: too far from the text" if proposed else "nothing to rewrite"] += 1
    choices = list(dict.fromkeys(text for *_, kept in proposals if len(kept) > 1 for text in kept))
    likelihood = scored(choices, run, models)
    found = []
    for number, target, first, kept in proposals:
        best = likeliest([likelihood.get(text, 0.0) for text in kept], kept)
        counts["rewrites in another reading than the rules'"] += best != first
        old = texts[number]
        rewrite = Rewrite(best, target, word_distance(old, best), similarity(old, best), len(kept), best != first)
        found.append((number, rewrite))
    return found


def scored(texts: Sequence[str], run: RunContext, models: Models) -> dict[str, float]:
    """Text -> log-likelihood in nat by the untouched model (masked models: pseudo-log-likelihood)."""
    found: dict[str, float] = {}
    with progress("Weighing rewrites", total=len(texts), unit="texts") as bar:
        for start in range(0, len(texts), AT_ONCE):
            chunk = texts[start : start + AT_ONCE]
            found |= {t: s.total for t, s in zip(chunk, run.services.score(chunk, model=models.base), strict=True)}
            bar.advance(len(chunk))
    return found


def by_model(
    texts: Sequence[str], asked: Sequence[tuple[int, str, str]], axis: Axis, o: LearnedRewritingOptions,
    models: Models, counts: Counter[str],
) -> list[tuple[int, Rewrite]]:  # fmt: skip
    """The named model's texts that stay near theirs and speak more of the target than before."""
    from evenhand_standard.data.rewriter_models import AT_ONCE as WRITTEN_AT_ONCE

    order = sorted(asked, key=lambda one: len(texts[one[0]]))  # texts of like length share a pass
    written: dict[tuple[int, str], str] = {}
    with progress("Rewriting", total=len(asked), unit="texts") as bar:
        for start in range(0, len(order), WRITTEN_AT_ONCE):
            part = order[start : start + WRITTEN_AT_ONCE]
            new = models.write([(word, target, texts[number]) for number, word, target in part])
            written |= {(number, target): text.strip() for (number, _, target), text in zip(part, new, strict=True)}
            bar.advance(len(part))
    found = []
    for number, _, target in asked:
        old, text = texts[number], written[number, target]
        if reason := refusal(old, text, axis, target, o):
            counts[f"not accepted: {reason}"] += 1
        else:
            found.append((number, Rewrite(text, target, word_distance(old, text), similarity(old, text))))
    return found


def refusal(old: str, new: str, axis: Axis, target: str, o: LearnedRewritingOptions) -> str:
    """Why a model's text is no rewrite of the old one towards the target; empty when it is."""
    if new == old:
        return "the same text"
    if not near(old, [new], edits=o.max_edits, floor=o.min_similarity):
        return "too far from the text"
    before, after = (sum(w.group == target for w in group_words(text, axis)) for text in (old, new))
    return "" if after > before else "no more words of the target group"

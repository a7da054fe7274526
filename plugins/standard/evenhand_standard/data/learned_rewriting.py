"""Learned rewriting: a model rewrites a text towards another group, instead of a table of words.

With `rewriter = "model"`, a sequence-to-sequence or causal model that the user names gets (word, target, text) and
gives the new text. With `rewriter = "engine"`, off-line, the counterfactual engine proposes texts (its own and those
with the other reading of an ambiguous pronoun), and the run's untouched model chooses the likeliest. A rewrite is
added only when

    0 < edit distance over words <= max_edits,    similarity >= min_similarity

and a model's only where words of the target group grew, too; the engine's swaps both ways and need not. Added tokens
are at most `max_share` of all: of a data set, texts with the smallest draws are rewritten until there is no room, of a
stream those whose rewrites find room when they come.

Source: Qian et al. 2022 (PANDA, perturbation augmentation); the off-line form is our own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
from evenhand_sdk.data_rows import ORIGIN, Fate, Fates, Made, Row, RowOptions, RowWork, one_by_one
from evenhand_sdk.storage import digest_of
from evenhand_standard.data.passes import Passes
from evenhand_standard.data.rewrite_candidates import Rewrite, candidates, likeliest, near, similarity, word_distance
from evenhand_standard.data.rewriter_models import AT_ONCE as WRITTEN_AT_ONCE
from evenhand_standard.data.rewriter_models import Models
from evenhand_standard.data.token_room import TokenRoom
from evenhand_standard.data.whole_corpus import workable, worked_on

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

PROMPT = "{word}, {target} <PERT_SEP> {text}"
"""The form that published perturbers are trained with."""
AT_ONCE = 512
"""Texts that are scored in one call, and fewest that are rewritten before it is seen whether they find room."""
NO_ROOM = "texts whose rewrites had no room under max_share"
NOT_ASKED = "texts that were not rewritten, since there was no room left"


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
    max_share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.5, description="Most that added tokens may be of all tokens."
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
        work = RowWork(run, o, title="Rewriting")
        facts: dict[str, Any] = {}
        rewriting = Rewriting(load_axis(o.axis, o.locale), o, run, facts)

        def added(rows: Any) -> Any:
            if not hasattr(rows, "select"):
                return work.rewrite(rows, rewriting.as_they_come())
            fates = rewriting.of_all(rows_of(rows, o.max_characters))
            made = [[number, [(m.group, m.text) for m in fate.added]] for number, fate in fates.items() if fate.added]
            work.depends = digest_of(made)  # the model's choice depends on more than a fingerprint of rows knows
            return work.rewrite(rows, one_by_one(lambda row: fates.get(row.number, Fate())))

        return work.transform(added, facts=facts)


class Rewriting:
    """What becomes of rows, and the counts of it in `facts`; rows that `strength` leaves out are not even asked for."""

    def __init__(self, axis: Axis, options: LearnedRewritingOptions, run: RunContext, facts: dict[str, Any]) -> None:
        self.axis, self.options, self.run, self.facts = axis, options, run, facts
        self.seed = run.seed_for("rows")

    def of_all(self, rows: Sequence[Row]) -> dict[int, Fate]:
        """Row -> its additions: of the rows in the order of their draws, those that find room."""
        models, total = Models(self.options, self.run), Counter({NO_ROOM: 0})
        room = TokenRoom(self.options.max_share, self.run.tokenizer)
        size = dict(zip([row.number for row in rows], room.read([row.text for row in rows]), strict=True))
        order = sorted((row.draw(self.seed), row.number, row) for row in rows)
        drawn = [row for u, _, row in order if u < self.options.strength]
        fates: dict[int, Fate] = {}
        start, found, fitting = 0, 0, 0
        while start < len(drawn) and room.left() > 0 and (fitting or not found):  # till nothing that is made fits
            end, fill = start, room.left()
            while end < len(drawn) and (end < start + AT_ONCE or fill > 0):
                fill -= size[drawn[end].number] * (len(self.axis.groups) - 1)
                end += 1
            made, counts = rewritten([row.text for row in drawn[start:end]], self.axis, self.options, self.run, models)
            taken = {k: rewrites for k, rewrites in sorted(made.items()) if room.take([r.text for r in rewrites])}
            fates |= {drawn[start + k].number: self._fate(rewrites) for k, rewrites in taken.items()}
            total.update(counts)
            start, found, fitting = end, len(made), len(taken)
            total[NO_ROOM] += found - fitting
        if start < len(drawn):
            total[NOT_ASKED] = len(drawn) - start
        self._tell(total, room)
        return fates

    def as_they_come(self) -> Fates:
        """For a stream: rewrites of a row are added when they find room beside what was read so far."""
        models, total = Models(self.options, self.run), Counter({NO_ROOM: 0})
        room, passes = TokenRoom(self.options.max_share, self.run.tokenizer), Passes()

        def fates(part: Sequence[Row]) -> list[Fate]:
            if passes.begins(part):
                total.clear()
                room.empty()
            drawn = [row for row in part if row.draw(self.seed) < self.options.strength]
            made, counts = rewritten([row.text for row in drawn], self.axis, self.options, self.run, models)
            by_row = {drawn[k].number: rewrites for k, rewrites in made.items()}
            out = []
            for row in part:
                room.read([row.text])
                rewrites = by_row.get(row.number, [])
                fits = room.take([r.text for r in rewrites])
                total[NO_ROOM] += not fits
                out.append(self._fate(rewrites) if fits else Fate())
            total.update(counts)
            self._tell(total, room)
            return out

        return fates

    def _fate(self, rewrites: Sequence[Rewrite]) -> Fate:
        return Fate(added=[as_made(rewrite, self.axis) for rewrite in rewrites])

    def _tell(self, total: Counter[str], room: TokenRoom) -> None:
        self.facts.update(total)
        self.facts["share of added tokens"] = room.share()


def rows_of(rows: Dataset, longest: int) -> list[Row]:
    """The rows that can be worked on, as a step meets them."""
    given = rows[ORIGIN] if ORIGIN in rows.column_names else range(len(rows))
    fits = worked_on(rows, longest)
    return [
        Row(number, text, origin)
        for number, (text, origin, fit) in enumerate(zip(rows["text"], given, fits, strict=True))
        if fit
    ]


def as_made(rewrite: Rewrite, axis: Axis) -> Made:
    """A rewrite as an added text."""
    note = f"towards {rewrite.group}, {rewrite.distance} word{'s' * (rewrite.distance != 1)} changed"
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

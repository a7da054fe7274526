"""Control codes: the model learns which text is even and which is not, and is asked for the even kind.

Each training text gets a score of bias, the scores are cut into K bins of equal size, and the bin's code is put before
the text: "<bias:0>" and a line break for the least. Language modelling then learns p(text | code), from all the text
and with no other loss. While it answers, the code of the best bin stands before each prompt:

    p'( . | x )  ~  p( . | x )^(1 - s)  *  p( . | code, x )^s

The score that needs no classifier is the gap of the untouched model between a text and its counterfactuals,

    | 1/n log p0(x) - 1/n~ log p0(x~) |,       the mean over the counterfactuals x~ of x

so that code 0 is text that the model finds as likely about one group as about another. Texts that name no group have no
such gap and get no code; else the best code would stand for naming nobody.

A code is text of ordinary pieces, since a new piece of the vocabulary would change the shape of the model. It is kept
apart: it is taken out of training text that holds one, and no answer can write one.

Sources: Keskar et al. 2019 (CTRL, codes); Smith et al. 2022 (codes of bias by a score); Lu et al. 2022 (Quark,
quantiles of a score). That the score is the model's own gap is ours.
"""

from __future__ import annotations

import math
import os.path
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from evenhand_sdk import (
    AxisName,
    DataTransform,
    DecodingRule,
    Locale,
    Mitigation,
    PathOption,
    RunContext,
    UsageError,
    counterfactuals,
    hookimpl,
    load_axis,
)
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_sdk.data_rows import Fate, Made, Row, RowOptions, RowWork, one_by_one
from evenhand_sdk.storage import digest_of
from evenhand_standard.data.whole_corpus import demand_column, demand_whole, worked_on
from evenhand_standard.decoding.told_contexts import told_contexts

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

GAP, COLUMN = "gap", "column:"


class ControlCodesOptions(RowOptions):
    """Options of `control-codes`; `strength`: the share of texts that get their code, and how much it counts."""

    by: str = Field(
        GAP,
        description="What scores a text, the more the worse: gap, toxicity, hurtlex, vader, opinion-lexicon, "
        "transformers:PATH#LABEL, or column:NAME.",
    )
    axis: AxisName = Field("gender", description="gap: the axis whose groups are exchanged.")
    locale: Locale = "en"
    names: bool = Field(True, description="gap: first names belong to groups, too.")
    code: str = Field("bias", pattern=r"^[a-z]+$", description="The word in the codes, as in <bias:0>.")
    bins: Annotated[int, Field(ge=2, le=5)] = Field(2, description="How many codes there are.")
    decode: Annotated[int, Field(ge=0, le=4)] = Field(
        0, description="The code that is put before prompts; 0: the least."
    )
    data: PathOption | None = Field(None, description="Folder of the published files that a scorer reads.")

    @model_validator(mode="after")
    def _is_a_code(self) -> ControlCodesOptions:
        if self.decode >= self.bins:
            raise ValueError(f"decode is {self.decode}, and the codes are 0 to {self.bins - 1}")
        return self


class ControlCodes(Mitigation):
    """Marks training texts by how biased they are, and asks for the unbiased kind when it answers."""

    name = "control-codes"
    summary = "Marks training texts with a code for how biased they are, and puts the code of the least before prompts."
    source = (
        "Smith et al. 2022 (codes of bias), after Keskar et al. 2019 (CTRL); quantiles as in Lu et al. 2022 (Quark)"
    )
    kinds = ("causal",)
    Options = ControlCodesOptions

    @classmethod
    def files_for(cls, options: Any) -> Sequence[KnownFile]:
        from evenhand_standard.text_scorers import files_of

        return files_of(options.by)

    @classmethod
    def models_for(cls, options: Any) -> Sequence[tuple[str, str]]:
        from evenhand_standard.text_scorers import models_of

        return models_of(by=options.by)

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        work = RowWork(run, o, title="Putting codes before texts")
        facts: dict[str, Any] = {}

        def coded(rows: Dataset) -> Dataset:
            demand_whole(rows, self.name)
            scores = scored(rows, o, run)
            bins = quantised(scores, o.bins)
            work.depends = digest_of(sorted(bins.items()))
            facts.update(told(scores, bins, o.code))
            seed = run.seed_for("rows")

            def each(row: Row) -> Fate:
                text, code = without_codes(row.text, o.code), bins.get(row.number)
                if code is not None and row.draw(seed) < o.strength:
                    return Fate(text=Made(text=f"{written(o.code, code)}\n{text}", note=f"code {code}"))
                return Fate() if text == row.text else Fate(text=Made(text=text, note="a code is taken out"))

            return work.rewrite(rows, one_by_one(each))  # type: ignore[no-any-return]

        return work.transform(coded, facts=facts)

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        codes = [run.tokenizer(written(o.code, k), add_special_tokens=False)["input_ids"] for k in range(o.bins)]
        return DecodingRule(
            name=run.step_id,
            contexts=told_contexts(run.tokenizer, [written(o.code, o.decode)]),
            next_logits=conditioned(o.strength, forbidden(codes)),
        )


# --------------------------------------------------------------------------------------------------------- the codes
def written(word: str, code: int) -> str:
    """A code as text."""
    return f"<{word}:{code}>"


def without_codes(text: str, word: str) -> str:
    """The text without codes of a word, and without the line breaks behind them."""
    return re.sub(rf"<{word}:\d+>\n?", "", text)


def quantised(scores: Mapping[int, float], bins: int) -> dict[int, int]:
    """Row -> its bin, from 0 for the least scores; equal scores share a bin. UsageError when all are in one."""
    ordered = sorted(scores.values())
    edges = [ordered[math.ceil(len(ordered) * k / bins) - 1] for k in range(1, bins)] if ordered else []
    found = {row: sum(score > edge for edge in edges) for row, score in scores.items()}
    if len(set(found.values())) < 2:
        raise UsageError(
            f"the {len(scores):,} texts that have a score would all get the same code"
            if len(scores) != 1
            else "only one text has a score, and a code tells texts apart",
            where="option by",
            known="a text has a score when it names a group (gap), or always (scorers and columns)",
            do="train on text that differs by this score, or score by something else",
        )
    return found


def told(scores: Mapping[int, float], bins: Mapping[int, int], word: str) -> dict[str, Any]:
    """For the report: how many texts each code has, and which scores."""
    found: dict[str, Any] = {"texts with a score": len(scores)}
    for code, count in sorted(Counter(bins.values()).items()):
        own = [scores[row] for row, its in bins.items() if its == code]
        found[written(word, code)] = (
            f"{count:,} text{'s' * (count != 1)} with scores from {min(own):.4g} to {max(own):.4g}"
        )
    return found


# -------------------------------------------------------------------------------------------------------- the scores
def scored(rows: Dataset, o: ControlCodesOptions, run: RunContext) -> dict[int, float]:
    """Row -> score, of those that have one; the more, the worse."""
    fit = worked_on(rows, o.max_characters)
    if o.by.startswith(COLUMN):
        name = o.by.removeprefix(COLUMN)
        demand_column(rows, name, "the score of each text")
        return {k: float(value) for k, value in enumerate(rows[name]) if value is not None and fit[k]}
    numbers = [k for k, each in enumerate(fit) if each]
    texts = [without_codes(rows[k]["text"], o.code) for k in numbers]
    if o.by == GAP:
        return {numbers[k]: gap for k, gap in gaps(texts, o, run).items()}
    from evenhand_standard.text_scorers import SENTIMENT, scorer

    tool = scorer(o.by, o.data or run.data_folder, offline=run.offline)
    sign = -1 if tool.name in SENTIMENT else 1
    return {number: sign * score for number, score in zip(numbers, tool.score(texts), strict=True)}


def gaps(texts: Sequence[str], o: ControlCodesOptions, run: RunContext) -> dict[int, float]:
    """Text -> its mean gap in nat per token under the untouched model, of texts with a counterfactual."""
    axis = load_axis(o.axis, o.locale)
    others = {k: [c.text for c in counterfactuals(text, axis, names=o.names)] for k, text in enumerate(texts)}
    asked = [(k, text) for k, found in others.items() if found for text in (texts[k], *found)]
    means: dict[int, list[float]] = {}
    if asked:
        scores = run.services.score([text for _, text in asked], model=run.services.load_base())
        for (k, _), score in zip(asked, scores, strict=True):
            means.setdefault(k, []).append(score.mean)
    found = {k: sum(abs(own - other) for other in rest) / len(rest) for k, (own, *rest) in means.items()}
    return {k: gap for k, gap in found.items() if not math.isnan(gap)}


# ----------------------------------------------------------------------------------------------------- while answering
def forbidden(codes: Sequence[Sequence[int]]) -> list[tuple[tuple[int, ...], int]]:
    """(pieces, piece that must not follow them) for each way to write what all codes begin with; where they share
    nothing, for each code."""
    shared = os.path.commonprefix([list(code) for code in codes])
    return [(tuple(code[:-1]), code[-1]) for code in ([shared] if shared else codes)]


def conditioned(
    strength: float, banned: Sequence[tuple[tuple[int, ...], int]]
) -> Callable[[torch.Tensor, torch.Tensor, Sequence[torch.Tensor]], torch.Tensor]:
    """`next_logits`: log-probabilities behind the code, mixed with those without it, and no code is ever written."""
    import torch

    def next_logits(ids: torch.Tensor, logits: torch.Tensor, contexts: Sequence[torch.Tensor]) -> torch.Tensor:
        out = torch.empty_like(logits, dtype=torch.float32)
        for b, behind in enumerate(contexts):
            mixed = behind[0].float().log_softmax(-1)
            if strength < 1:
                mixed = (1 - strength) * logits[b].float().log_softmax(-1) + strength * mixed
            for before, piece in banned:
                if not before or ids[b, -len(before) :].tolist() == list(before):
                    mixed = mixed.clone()
                    mixed[piece] = -torch.inf
            out[b] = mixed.log_softmax(-1)
        return out.to(logits.dtype)

    return next_logits

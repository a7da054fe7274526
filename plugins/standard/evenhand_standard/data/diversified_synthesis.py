"""Unbiased synthesis: own sentences of the axis packs' templates, and the model's own texts, made to be varied.

    l'(v) = l(v) - beta c(v) / max_u c(u)                          while the model writes
    accept a template when  JS gap <= max_js_gap  and  W1 of sentiment - chance <= max_sentiment_gap
    added tokens <= strength * max_share / (1 - strength * max_share) * tokens of the data

The model goes on from the beginning of a filled template, once for each group with the same seed; a set of texts is
taken whole or not at all, so that each group is told of equally often. `max_share` cannot exceed 30 %: a model that
learns from its own samples alone collapses.

Sources: Chung, Kamar and Amershi 2023 (logit suppression); Smith et al. 2022 (grids); Huang et al. 2020 (W1).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Axes,
    Axis,
    DataTransform,
    Locale,
    Mitigation,
    PathOption,
    RowAccount,
    RunContext,
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_sdk.data_rows import Made, RowOptions, RowWork, token_counts
from evenhand_standard.data.suppressed_generation import BETA, generated
from evenhand_standard.data.synthesis_acceptance import Outcome, js_gaps, sentiment_gap, sentiments, variety
from evenhand_standard.data.synthesis_grid import Version, banked_versions, grid
from evenhand_standard.data.synthesis_review import FILE, TextSet, read, write
from evenhand_standard.data.whole_corpus import demand_whole, with_own, workable

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

WORD = re.compile(r"\S+")
BEYOND = 2
"""Words of a template behind its group word that a prompt keeps, so that the model knows what is said of it."""
PROMPTS = 4
"""Prompts of one round of generation, each for all groups."""
SHORTEST = 4
"""Words that a written text must add to its prompt."""


class DiversifiedSynthesisOptions(RowOptions):
    """Options of `diversified-synthesis`; `strength` scales the share of added tokens."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    sources: tuple[Literal["templates", "model"], ...] = Field(
        ("templates", "model"), min_length=1, description="Filled templates, and texts that the model writes."
    )
    max_share: Annotated[float, Field(gt=0.0, le=0.3)] = Field(0.3, description="Most that added tokens may be of all.")
    sets: Annotated[int, Field(ge=1)] = Field(200, description="Most sets of texts, one a group, from each source.")
    samples: Annotated[int, Field(ge=2, le=16)] = Field(4, description="Texts that the model writes for each prompt.")
    beta: Annotated[float, Field(ge=0.0)] = Field(
        BETA, description="How much a token that was used most is suppressed."
    )
    temperature: Annotated[float, Field(gt=0.0, le=2.0)] = Field(1.0, description="Of sampling; 0.7 to 1.3 is usual.")
    max_new_tokens: Annotated[int, Field(ge=8)] = Field(32, description="Most tokens of a written text.")
    max_js_gap: Annotated[float, Field(ge=0.0)] = Field(
        0.2, description="Bound on the divergence behind a template's versions, in nat, at most ln 2 = 0.69."
    )
    reviewed: PathOption | None = Field(
        None, description="File of texts that somebody looked at, as an earlier run wrote it; then none are made."
    )
    max_sentiment_gap: Annotated[float, Field(ge=0.0)] = Field(
        0.1, description="Bound on W1 between groups beyond chance, polarity from -1 to 1."
    )


class DiversifiedSynthesis(Mitigation):
    """Adds varied synthetic texts that passed tests of equal treatment."""

    name = "diversified-synthesis"
    summary = "Adds filled templates and the model's own varied texts, once they passed tests of equal treatment."
    source = "Chung, Kamar and Amershi 2023 (logit suppression); Smith et al. 2022 (descriptor grids)"
    kinds = ("causal",)
    Options = DiversifiedSynthesisOptions
    example_options: Mapping[str, Any] = {"sets": 4, "samples": 2, "max_new_tokens": 8, "max_js_gap": 0.7}

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        o = self.options
        if split != "train":
            return None
        work = RowWork(run, o)
        facts: dict[str, Any] = {}
        account: list[RowAccount] = []

        def enriched(rows: Dataset) -> Dataset:
            account.clear()
            demand_whole(rows, self.name)
            share = o.strength * o.max_share
            texts = [text for text in rows["text"] if workable(text, o.max_characters)]
            limit = sum(token_counts(run.tokenizer, texts)) * share / (1 - share)
            axes = [load_axis(name, o.locale) for name in o.axes]
            if o.reviewed is not None:
                sets, left_out = read(Path(o.reviewed), axes)
                facts.update({"sets that were reviewed": len(sets), **left_out})
            else:
                base = run.services.load_base()
                sets = [found for axis in axes for found in synthesised(axis, o, run, base, facts)]
                write(sets, run.folder / FILE)
                facts["file for a review"] = FILE
            made, tokens = within(limit, interleaved(sets, o), run.tokenizer)
            facts.update({"texts added": len(made), "tokens added": tokens, "most tokens": int(limit)})
            facts.update({name: round(value, 4) for name, value in variety([m.text for m in made]).items()})
            out, counted = with_own(work, rows, made)
            account.append(counted)
            return out

        return work.transform(enriched, facts=facts, account=lambda: account[0] if account else work.account())


def versions_of(axis: Axis, seed: int) -> list[Version]:
    """The versions of the pack's templates, and for the groups of the pair bank those of its training split."""
    both = zip_longest(grid(axis, seed), banked_versions(axis, seed))  # in turn, so that a limit leaves some of each
    found = [version for pair in both for version in pair if version is not None]
    if not found:
        raise UsageError(
            f"the axis {axis.name!r} has no templates to fill",
            where="option axes",
            do="use a pack with [[templates]]",
        )
    return found


def synthesised(
    axis: Axis, o: DiversifiedSynthesisOptions, run: RunContext, base: Any, facts: dict[str, Any]
) -> list[TextSet]:
    """The accepted sets of an axis from all sources; what was tried and refused goes into `facts`."""
    versions = versions_of(axis, run.seed_for("order"))
    found: list[TextSet] = []
    counts: Counter[str] = Counter()
    if "templates" in o.sources:
        chosen = versions[: o.sets]
        gaps = js_gaps(run, base, axis, [v.texts for v in chosen])
        for version, gap in zip(chosen, gaps, strict=True):
            # The versions are one sentence but for the group: with the group words out of sight they are equal.
            reason = Outcome(gap, 0.0).refusal(js_gap=o.max_js_gap, sentiment_gap=o.max_sentiment_gap)
            counts[f"templates refused: {reason}" if reason else "templates accepted"] += 1
            if not reason:
                found.append(TextSet(axis.name, "templates", version.texts))
    if "model" in o.sources:
        found += written(axis, versions, o, run, base, counts)
    facts[f"{axis.name}"] = dict(sorted(counts.items()))
    return found


def written(
    axis: Axis, versions: Sequence[Version], o: DiversifiedSynthesisOptions, run: RunContext, base: Any,
    counts: Counter[str],
) -> list[TextSet]:  # fmt: skip
    """What the model writes behind the prompts that pass the JS test, where the sentiments agree."""
    from evenhand_standard.text_scorers import masked_scorer, scorer

    prompts = [p for p in (prompt(version) for version in versions) if p is not None]
    prompts = list({tuple(p.values()): p for p in prompts}.values())[: -(-o.sets // o.samples)]
    gaps = js_gaps(run, base, axis, prompts)
    tool = masked_scorer(scorer("vader"), [axis])
    found: list[TextSet] = []
    asked = [p for p, gap in zip(prompts, gaps, strict=True) if gap <= o.max_js_gap]
    counts["prompts refused: the model continues its versions too differently"] += len(prompts) - len(asked)
    # A round has all groups of a few prompts, once and with one seed: then they differ in the prompt alone.
    chunks = [asked[k : k + PROMPTS] for k in range(0, len(asked), PROMPTS)]
    rounds = generated(
        run, base, [[t for p in c for t in p.values()] for _ in range(o.samples) for c in chunks], [axis],
        beta=o.beta, temperature=o.temperature, max_new_tokens=o.max_new_tokens, seed=run.seed_for("texts"),
    )  # fmt: skip
    for number, p in enumerate(asked):
        chunk, place = divmod(number, PROMPTS)
        first = sum(map(len, chunks[chunk][:place]))
        own = [rounds[k * len(chunks) + chunk][first : first + len(p)] for k in range(o.samples)]
        answers = {g: [clean(texts[k]) for texts in own] for k, g in enumerate(p)}
        whole = [k for k in range(o.samples) if all(enough(answers[g][k], p[g]) for g in p)]
        counts["sets left out: a text is too short, or lost its prompt"] += o.samples - len(whole)
        if len(whole) < 2:
            continue
        gap = sentiment_gap(sentiments(tool, {g: [answers[g][k] for k in whole] for g in p}))
        reason = Outcome(0.0, gap).refusal(js_gap=o.max_js_gap, sentiment_gap=o.max_sentiment_gap)
        counts[f"prompts refused: {reason}" if reason else "prompts accepted"] += 1
        if not reason:
            found += [TextSet(axis.name, "model", {g: answers[g][k] for g in p}) for k in whole]
    return found


def prompt(version: Version) -> dict[str, str] | None:
    """Group -> the beginning of its sentence, up to two words behind the group word; None when little is left."""
    words = {group: list(WORD.finditer(text)) for group, text in version.texts.items()}
    lists = [[m[0] for m in found] for found in words.values()]
    shortest = min(map(len, lists))
    first = next((k for k in range(shortest) if len({row[k] for row in lists}) > 1), shortest)
    found = {}
    for group, text in version.texts.items():
        behind = len(words[group]) - shortest  # a word of several parts pushes the rest back
        last = first + behind + BEYOND
        if last >= len(words[group]) - 1:
            return None
        found[group] = text[: words[group][last].end()]
    return found


def clean(text: str) -> str:
    """A written text up to its last whole sentence, or all of it when it has none, on one line."""
    line = " ".join(text.split())
    ends = [m.end() for m in re.finditer(r"[.!?][\"'”’)]*(?=\s|$)", line)]
    return line[: ends[-1]] if ends else line


def enough(text: str, beginning: str) -> bool:
    """Whether a text still begins with its prompt and adds a few words."""
    return text.startswith(beginning) and len(text[len(beginning) :].split()) >= SHORTEST


def interleaved(sets: Sequence[TextSet], o: DiversifiedSynthesisOptions) -> Iterator[TextSet]:
    """Sets of each source and axis in turn, so that a limit cuts all of them alike."""
    queues: dict[tuple[str, str], list[TextSet]] = {}
    for one in sets:
        queues.setdefault((one.axis, one.source), []).append(one)
    longest = max(map(len, queues.values()), default=0)
    for k in range(longest):
        yield from (queue[k] for queue in queues.values() if k < len(queue))


def within(limit: float, sets: Iterator[TextSet], tokenizer: Any) -> tuple[list[Made], int]:
    """Whole sets while they fit under `limit` tokens, and how many tokens they have."""
    made: list[Made] = []
    total = 0
    for one in sets:
        size = sum(token_counts(tokenizer, list(one.texts.values())))
        if total + size > limit:
            break
        total += size
        made += [Made(text=t, axis=one.axis, group=g, note=f"from {one.source}") for g, t in one.texts.items()]
    return made, total

"""Degeneration of text: does a model still write varied sentences, or does it repeat itself, or fall silent?

Several samples are drawn for each of our own neutral prompts. With n-grams over words and signs, in lower case:

    distinct-n   different n-grams of a prompt's samples / all of them               (Li et al. 2016)
    repetition   share of 4-grams of a text that stood in it before, per text         (Welleck et al. 2020, seq-rep-4)
    self-BLEU    mean BLEU-4 of each sample against the other samples of its prompt   (Zhu et al. 2018)
    length       words of a text

An empty text counts as `max_new_tokens` n-grams of which none is different: without that, a model that falls silent
would have as high a distinct-n as before.

Perplexity does not see any of this: a model may find human text likely and still write in circles. All depend on the
length of texts and the way of sampling, so only numbers of equal settings can be compared. The cost that the recipe's
budget is held against is distinct-2.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from evenhand_sdk import (
    Benchmark,
    ItemRecord,
    Metric,
    Planted,
    PlantedModel,
    Plugin,
    Request,
    RunContext,
    beside_recipe,
    hookimpl,
    item_text,
)
from evenhand_standard.benchmarks.data_digests import data_digest
from evenhand_standard.benchmarks.neutral_prompts import PROMPTS
from evenhand_standard.benchmarks.sampled_texts import Sampled, Sampling, SamplingOptions, keep_texts, mean, samples

GRAM = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
LONGEST = 4
LONGEST_NAME = 200
"""Characters of the name of a file, at most; a prompt may be longer than systems take."""
FILES = (".txt", ".csv", ".tsv", ".json", ".jsonl")
"""Ends of names that no prompt has."""


class TextDegenerationOptions(SamplingOptions):
    """Options of `text-degeneration`."""

    prompts: Annotated[str, beside_recipe()] | tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="Own prompts instead of the packaged ones: a list, or a text file with one on each line.",
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="Most prompts, from the beginning.")
    samples: Annotated[int, Field(ge=2)] = Field(4, description="Texts for each prompt.")
    max_new_tokens: Annotated[int, Field(ge=8)] = Field(48, description="Most tokens of a text.")
    fluency: bool = Field(False, description="Measure, too, how likely the untouched model finds the texts.")

    @field_validator("prompts")
    @classmethod
    def _read(cls, prompts: str | tuple[str, ...]) -> tuple[str, ...]:
        """The prompts themselves, those of a file read."""
        if isinstance(prompts, tuple):
            if files := [prompt for prompt in prompts if prompt.endswith(FILES) and Path(prompt).is_file()]:
                raise ValueError(f"{files[0]!r} is a file; write its name without a list to ask its lines")
            return prompts
        if len(Path(prompts).name) > LONGEST_NAME or not Path(prompts).is_file():
            raise ValueError(f"there is no file {prompts!r}; write prompts in a list, [{json.dumps(prompts)}]")
        if not prompts.endswith(".txt"):
            raise ValueError(f"{prompts!r} is no text file; write one prompt on each line of a file NAME.txt")
        lines = Path(prompts).read_text(encoding="utf-8-sig").splitlines()
        found = tuple(line.strip() for line in lines if line.strip())
        if not found:
            raise ValueError(f"{prompts!r} has no prompt; write one on each line")
        return found


class TextDegeneration(Plugin):
    """Variety, repetition and length of generated text."""

    name = "text-degeneration"
    summary = "Measures whether a model still writes varied text: distinct n-grams, repetition, self-BLEU, length."
    source = "Li et al. 2016 (distinct-n), Welleck et al. 2020 (repetition), Zhu et al. 2018 (self-BLEU); own prompts"
    kinds = ("causal",)
    Options = TextDegenerationOptions

    @hookimpl
    def evaluation(self, run: RunContext) -> Benchmark:
        options = self.options
        prompts = tuple(options.prompts or PROMPTS)[: options.limit]
        sampling = options.sampling
        of_whom = "the recipe's" if options.prompts else "own neutral"
        fluency = Fluency(run) if options.fluency else None
        return Benchmark(
            name=self.name,
            title="Degeneration of text",
            score=lambda measured: score(measured, prompts, sampling, run.folder, fluency),
            metrics=(*METRICS, FLUENCY) if options.fluency else METRICS,
            quality=True,
            mode=f"{of_whom} prompts, n-grams of words and signs; {sampling.told()}",
            data_digest=data_digest(*prompts),
            planted=planted(),
            texts=lambda: {str(k): item_text(prompt) for k, prompt in enumerate(prompts)},
            good="As before the mitigation: less distinct and more repetition is degeneration, more distinct than what "
            "people write is noise.",
        )


class Fluency:
    """What the untouched model thinks of texts: nat for each token behind its prompt."""

    def __init__(self, run: RunContext) -> None:
        self.run = run
        self._base: Any = None

    def of(self, sampled: Sampled) -> dict[str, float]:
        """The sum of -log p over the tokens of a prompt's texts, and their number; none for prompts without any."""
        self._base = self._base or self.run.services.load_base()
        ids = self.run.tokenizer
        start = len(ids(sampled.prompt)["input_ids"])
        whole = [list(ids(f"{sampled.prompt}{text}")["input_ids"]) for text in sampled.written]
        whole = [row for row in whole if len(row) > start > 0]
        if not whole:
            return {}
        scores = self.run.services.score(whole, model=self._base, rules=(), dtype="float32")
        total = sum(float(s.over(range(start, len(row)))) for s, row in zip(scores, whole, strict=True))
        return {"nat": -total, "tokens": float(sum(len(row) - start for row in whole))}


def score(
    measured: Any,
    prompts: Sequence[str],
    sampling: Sampling,
    folder: Path | None = None,
    fluency: Fluency | None = None,
) -> list[ItemRecord]:
    """One record a prompt. Empty texts have length 0, and n-grams none of which is different."""
    sampled = samples(measured, [(prompt, str(k)) for k, prompt in enumerate(prompts)], sampling)
    records = [_record(str(k), each, sampling.max_new_tokens) for k, each in enumerate(sampled)]
    if fluency is not None:
        added = [fluency.of(each) for each in sampled]
        records = [replace(r, values={**r.values, **more}) for r, more in zip(records, added, strict=True)]
    if folder is not None:
        keep_texts(folder, measured, sampled, sampling, records)
    return records


def _record(name: str, sampled: Sampled, most: int) -> ItemRecord:
    """The record of a prompt whose texts have at most so many tokens."""
    values: dict[str, float] = {}
    if sampled.texts:
        grams = [GRAM.findall(text.lower()) for text in sampled.texts]
        values["words"] = mean([float(len(text.split())) for text in sampled.texts])
        values["ended"] = mean([float(ended) for ended in sampled.ended])
        values["empty"] = mean([float(not text.strip()) for text in sampled.texts])
        for n in (1, 2, 3):
            found = [gram for text in grams for gram in ngrams(text, n)]
            total = len(found) + most * grams.count([])
            if total:
                values |= {f"different_{n}": float(len(set(found))), f"all_{n}": float(total)}
        repeated = [repetition(text) for text in grams if len(text) >= LONGEST]
        if repeated:
            values["repetition"] = mean(repeated)
        written = [text for text in grams if text]
        if len(written) > 1:
            values["self_bleu"] = mean([bleu(text, written[:k] + written[k + 1 :]) for k, text in enumerate(written)])
    return ItemRecord(id=name, cluster=name, values=values, flags=sampled.flags)


def ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All n-grams in order."""
    return [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]


def repetition(words: Sequence[str]) -> float:
    """1 - different 4-grams / all 4-grams of a text of at least 4 words."""
    found = ngrams(words, LONGEST)
    return 1 - len(set(found)) / len(found)


def bleu(words: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of a text against others, with its brevity penalty (Papineni et al. 2002).

    Orders that the text is too short for are left out; an order without any match counts as half a match, so that short
    texts are not all 0.
    """
    logs = []
    for n in range(1, min(LONGEST, len(words)) + 1):
        counts, most = Counter(ngrams(words, n)), Counter[tuple[str, ...]]()
        for reference in references:
            most |= Counter(ngrams(reference, n))
        matched = sum(min(count, most[gram]) for gram, count in counts.items())
        logs.append(math.log(matched or 0.5) - math.log(sum(counts.values())))
    closest = min((abs(len(r) - len(words)), len(r)) for r in references)[1]
    brevity = min(0.0, 1 - closest / len(words))
    return math.exp(brevity + sum(logs) / len(logs))


METRICS = (
    Metric(
        name="distinct-2",
        value="different_2",
        per="all_2",
        better="higher",
        primary=True,
        unit="share",
        description="Different pairs of words among all pairs in the samples of a prompt.",
    ),
    Metric(
        name="distinct-1", value="different_1", per="all_1", better="higher", unit="share", description="Single words."
    ),
    Metric(
        name="distinct-3", value="different_3", per="all_3", better="higher", unit="share", description="Three words."
    ),
    Metric(
        name="repetition",
        value="repetition",
        scale=100.0,
        target=0.0,
        better="lower",
        unit="%",
        description="Share of the 4-grams of a text that stood in it before (seq-rep-4), mean over texts.",
    ),
    Metric(
        name="self-BLEU",
        value="self_bleu",
        scale=100.0,
        target=0.0,
        better="lower",
        unit="%",
        description="BLEU-4 of each sample against the other samples of its prompt: how alike they are.",
    ),
    Metric(
        name="words",
        value="words",
        better="higher",
        unit="words",
        description="Mean length of a text; no quality by itself, but the others depend on it.",
    ),
    Metric(
        name="ended",
        value="ended",
        scale=100.0,
        better="higher",
        unit="%",
        description="Share of texts that came to an end before the limit of tokens; no quality by itself.",
    ),
    Metric(
        name="empty texts",
        value="empty",
        scale=100.0,
        target=0.0,
        better="lower",
        unit="%",
        description="Share of texts without any word.",
    ),
)


FLUENCY = Metric(
    name="surprise of the untouched model",
    value="nat",
    per="tokens",
    better="lower",
    unit="nat",
    description="Mean -log p of a token of the texts under the model before any step, without rules: its exponential "
    "is their perplexity. Greedy and repeated texts are likeliest of all, so read it beside repetition.",
)


# --------------------------------------------------------------------------------------------------------- self-test
def planted() -> tuple[Planted, ...]:
    """Models that write in circles, say the same each time, never repeat a word, and say nothing."""
    sampling = Sampling(samples=3, temperature=1.0, top_p=0.9, max_new_tokens=12)
    prompts = PROMPTS[:4]

    def of(answer: Callable[[Request], str]) -> list[ItemRecord]:
        return score(PlantedModel(answer=answer), prompts, sampling)

    def fresh(request: Request) -> str:
        return " ".join(f"w{request.seed}x{k}" for k in range(12))

    return (
        Planted(
            name="writes in circles",
            records=lambda: of(lambda request: "on " * 12),
            expect={
                "distinct-1": (1 / 36, 1 / 36),
                "distinct-2": (1 / 33, 1 / 33),
                "repetition": (100 * 8 / 9, 100 * 8 / 9),
                "self-BLEU": (100.0, 100.0),
                "words": (12.0, 12.0),
            },
        ),
        Planted(
            name="always the same sentence",
            records=lambda: of(lambda request: "one two three four five six"),
            expect={"distinct-2": (1 / 3, 1 / 3), "repetition": (0.0, 0.0), "self-BLEU": (100.0, 100.0)},
        ),
        Planted(
            name="never a word twice",
            records=lambda: of(fresh),
            expect={"distinct-1": (1.0, 1.0), "distinct-3": (1.0, 1.0), "repetition": (0.0, 0.0), "self-BLEU": (0, 10)},
        ),
        Planted(
            name="silent",
            records=lambda: of(lambda request: ""),
            expect={"empty texts": (100.0, 100.0), "words": (0.0, 0.0), "distinct-2": (0.0, 0.0)},
        ),
    )

"""Perplexity by word: what a mitigation costs in language quality.

    word perplexity = exp( - sum of log p of all tokens / number of whitespace words of the original text )

Tokens are scored passage by passage; a passage that is longer than the context is read in windows that
overlap, so that each token but the first ones has at least `context - stride` tokens before it. Dividing by
words, not tokens, makes models with different tokenizers comparable; the text is never detokenised. Masked
models get the same with pseudo-log-likelihoods (Salazar et al. 2020), which is another quantity and has
another name.

The verdict is one of non-inferiority: the loss must be shown to be within the budget.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from evenhand_sdk import (
    Benchmark,
    ItemRecord,
    Metric,
    Options,
    Planted,
    PlantedModel,
    Plugin,
    RunContext,
    UsageError,
    beside_recipe,
    framing_tokens,
    hookimpl,
)
from evenhand_sdk.benchmark_data import (
    WIKITEXT2_TEST,
    KnownFile,
    builtin_names,
    builtin_passages,
    mirrored_lines,
    opened_text,
    read_text,
)
from evenhand_standard.benchmarks.data_digests import data_digest
from evenhand_standard.benchmarks.data_option import DataFolder

BUILTIN = "builtin:"
MIRROR = "mirror:"
WIKITEXT2 = "wikitext2"
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
"""Files whose text stands in columns."""


class PerplexityOptions(Options):
    """Options of `perplexity`."""

    text: Annotated[str | None, beside_recipe(WIKITEXT2)] = Field(
        None,
        description="builtin:heldout, wikitext2 (test part, by article), mirror:wiki-split-heldout (by sentence), or a "
        "text file: passages between blank lines; none: data.heldout of the recipe, else builtin:heldout.",
    )
    context: Annotated[int, Field(ge=2)] = Field(512, description="Most tokens that the model sees at once.")
    stride: Annotated[int, Field(ge=1)] | None = Field(None, description="Tokens between windows; none: half of it.")
    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="Most passages, from the beginning.")
    words: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Most words of each passage, from its beginning: more passages for the same time."
    )
    data: DataFolder = None

    @field_validator("text")
    @classmethod
    def _there(cls, text: str | None) -> str | None:
        builtin = text is not None and text.startswith(BUILTIN)
        if builtin and text.removeprefix(BUILTIN) not in builtin_names():
            raise ValueError(f"there is no packaged text {text!r} (known: {', '.join(builtin_names())})")
        mirrored = text is not None and text.startswith(MIRROR)  # looked for where it is read: the folder decides
        if text is not None and Path(text).suffix.lower() in TABLES:
            raise ValueError(f"{text!r} is a table, and would be read as prose; write its texts into a text file")
        if text is None or builtin or mirrored or text == WIKITEXT2 or Path(text).expanduser().is_file():
            return text
        raise ValueError(f"there is no text {text!r}; write builtin:heldout, {WIKITEXT2}, or the path of a text file")


class Perplexity(Plugin):
    """Language quality on text that nothing was trained on."""

    name = "perplexity"
    summary = "Measures what a mitigation costs in language quality: perplexity by word on held-out text."
    source = "Document-level rolling log-likelihood per word; Salazar et al. 2020 for masked models"
    Options = PerplexityOptions

    @classmethod
    def files_for(cls, options: PerplexityOptions) -> Sequence[KnownFile]:
        return (WIKITEXT2_TEST,) if options.text == WIKITEXT2 else ()

    @hookimpl
    def evaluation(self, run: RunContext) -> Benchmark:
        options = self.options
        stride = min(options.stride or options.context // 2, options.context - 1)
        text = options.text or run.heldout or "builtin:heldout"
        whole = passages(text, options.data or run.data_folder)[: options.limit]
        texts = [beginning(passage, options.words) for passage in whole]
        part = f", the first {options.words:,} words of each passage" if options.words else ""
        masked = run.kind == "masked"
        windows = "consecutive pieces" if masked else f"stride {stride}"
        return Benchmark(
            name=self.name,
            title="Pseudo-perplexity" if masked else "Perplexity",
            score=lambda measured: score(measured, texts, options.context, stride),
            metrics=metrics(masked),
            quality=True,
            mode=f"by word, {Path(text).name}{part}, context {options.context}, {windows}",
            data_digest=data_digest(*texts),
            min_items=20,
            texts=lambda: {str(k): text for k, text in enumerate(texts)},
            planted=planted(run.kind, options.context, stride),
            good="As low as before, on the same text, and for masked models only beside other masked models.",
        )


def metrics(masked: bool) -> tuple[Metric, ...]:
    """Perplexity by word, and bits by byte of UTF-8, from the same log-likelihoods."""
    likelihood = "pseudo-log-likelihood" if masked else "log-likelihood"
    return (
        Metric(
            name="word pseudo-perplexity" if masked else "word perplexity",
            value="logp",
            per="words",
            transform="neg_exp",
            better="lower",
            primary=True,
            description=f"e to the negative {likelihood} per whitespace word of the original text.",
        ),
        Metric(
            name="pseudo-bits per byte" if masked else "bits per byte",
            value="bits",
            per="bytes",
            better="lower",
            unit="bit",
            description=f"The negative {likelihood} in bits per byte of the original text.",
        ),
    )


def passages(text: str, folder: str | None = None) -> list[str]:
    """The passages of a text. Raises DataNotFound for an unknown one, UsageError for a file without text."""
    if text.startswith(BUILTIN):
        return builtin_passages(text)
    if text.startswith(MIRROR):
        return mirrored_lines(text, folder)
    if text == WIKITEXT2:
        return list(_articles(read_text(WIKITEXT2_TEST, folder)))
    path = Path(text).expanduser()
    if not path.is_file():
        raise UsageError(
            f"there is no text {text!r}",
            where="perplexity",
            known=f"texts: builtin:heldout, {WIKITEXT2}, or the path of a text file",
        )
    with opened_text(path) as stream:
        blocks = [block.strip() for block in _blocks(stream.read())]
    if not blocks:
        raise UsageError("the file has no text", where=str(path))
    return blocks


def beginning(text: str, words: int | None) -> str:
    """The text up to the end of so many words, its white space as it was; all of it for None."""
    if words is None:
        return text
    ends = [word.end() for word in islice(re.finditer(r"\S+", text), words)]
    return text[: ends[-1]] if len(ends) == words else text


def score(measured: Any, texts: Sequence[str], context: int, stride: int) -> list[ItemRecord]:
    """One record for each passage: its log-likelihood, its words and its bytes.

    A model that takes fewer tokens than `context` reads longer passages in shorter windows, and their flag says so.
    """
    asked, context = context, min(context, measured.longest)
    stride = min(stride, context - 1)
    if measured.kind == "masked":
        parts = [list(pieces(measured.ids(text), context, measured.tokenizer)) for text in texts]
        scores = iter(measured.pll([ids for each in parts for ids in each]))
        found = [[next(scores).total for _ in each] for each in parts]
    else:
        windowed = [list(windows(measured.ids(text), context, stride)) for text in texts]
        flat = [window for each in windowed for window in each]
        answers = iter(measured.score([ids for ids, _ in flat], ends=[new for _, new in flat]))
        found = [[next(answers).total for _ in each] for each in windowed]  # a first token has no score
    return [
        ItemRecord(
            id=str(k),
            cluster=str(k),
            values={
                "logp": sum(found[k]),
                "bits": -sum(found[k]) / math.log(2),
                "words": float(len(text.split())),
                "bytes": float(len(text.encode())),
            },
            flags={
                "read in several windows": len(found[k]) > 1,
                "in shorter windows than asked for": asked > context and len(found[k]) > 1,
            },
        )
        for k, text in enumerate(texts)
    ]


def windows(ids: tuple[int, ...], context: int, stride: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """(window, number of tokens at its end that no window before it scored); each token is new exactly
    once."""
    yield ids[:context], min(len(ids), context)
    end = context
    while end < len(ids):
        last = min(end + stride, len(ids))
        yield ids[last - context : last], last - end
        end = last


def pieces(ids: tuple[int, ...], context: int, tokenizer: Any) -> Iterator[tuple[int, ...]]:
    """The text of a masked model in consecutive pieces, each between the special tokens that the whole one
    has."""
    framing = framing_tokens(tokenizer)
    inner = [k for k, i in enumerate(ids) if i not in framing]
    if not inner or len(ids) <= context:
        yield ids
        return
    head, body, tail = ids[: inner[0]], ids[inner[0] : inner[-1] + 1], ids[inner[-1] + 1 :]
    room = context - len(head) - len(tail)
    for first in range(0, len(body), room):
        yield (*head, *body[first : first + room], *tail)


def _blocks(text: str) -> Iterator[str]:
    """What stands between blank lines."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []


def _articles(text: str) -> Iterator[str]:
    """The articles of WikiText, unchanged: each begins with a line between single equals signs.

    The line stands alone, since formulas within a paragraph look alike.
    """
    lines = text.splitlines(keepends=True)
    article: list[str] = []
    for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        words = line.split()
        heading = len(words) > 2 and words[0] == words[-1] == "=" and words[1] != "="
        alone = not before.strip() and not after.strip()
        if heading and alone and any(old.strip() for old in article):
            yield "".join(article)
            article = []
        article.append(line)
    if any(line.strip() for line in article):
        yield "".join(article)


def planted(kind: Literal["causal", "masked"], context: int, stride: int) -> tuple[Planted, ...]:
    """Models that give every token the same probability: one word is one token, so that perplexity is known.

    One of the passages is read in several windows, so that a token that is counted twice or not at all shows.
    """
    few = [" ".join(["word"] * n) for n in (1, 7, context + 2 * stride + 1)]
    words = sum(len(text.split()) for text in few)
    size = sum(len(text.encode()) for text in few)
    word, byte = (
        ("word pseudo-perplexity", "pseudo-bits per byte") if kind == "masked" else ("word perplexity", "bits per byte")
    )

    def certain(perplexity: float) -> Planted:
        model = PlantedModel(logp=lambda text: -math.log(perplexity), kind=kind)
        bits = math.log2(perplexity) * words / size
        near = 1e-5
        return Planted(
            name=f"one of {perplexity:g} words",
            records=lambda: score(model, few, context, stride),
            expect={
                word: (perplexity * (1 - near), perplexity * (1 + near)),
                byte: (bits * (1 - near), bits * (1 + near)),
            },
        )

    return (certain(1.0), certain(7.0), certain(50_000.0))

"""LAMBADA: does a model still find the last word of a passage that only the whole passage tells?

    accuracy   = share of passages whose last word is what the model itself would have written, greedily: each of its
                 tokens is the likeliest one after those before it
    perplexity = exp( - mean over passages of log p(last word | passage) )

The last word is what stands behind the last space (Paperno et al. 2016). The version in use is the one with its case
and punctuation restored, which test harnesses call `lambada_openai`; numbers of the original one, in lower case and
apart from its punctuation, are others.

A benchmark of language quality: accuracy must be shown to fall by less than one point.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

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
    framing_tokens,
    hookimpl,
    item_text,
    progress,
)
from evenhand_sdk.benchmark_data import KnownFile, read_text
from evenhand_standard.benchmarks.data_option import DataFolder
from evenhand_standard.benchmarks.drawn_items import drawn
from evenhand_standard.benchmarks.held_distributions import chunks

if TYPE_CHECKING:
    import torch

LAMBADA = KnownFile(
    path="lambada/lambada_test.jsonl",
    sha256="4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226",
    rows=5153,
    origin="github.com/Victorwz/VaLM, data/lambada/lambada_test.jsonl (the detokenised version)",
    licence="CC-BY-4.0",
)
HELD_BYTES = 64 * 2**20
"""Most bytes of distributions that are held at once."""

MARGIN = 1.0
"""Points of accuracy that may be lost."""

METRICS = (
    Metric(
        name="last-word accuracy",
        value="right",
        scale=100.0,
        better="higher",
        unit="%",
        primary=True,
        margin=MARGIN,
        description="Share of passages whose last word the model would have written itself, greedily.",
    ),
    Metric(
        name="last-word perplexity",
        value="logp",
        transform="neg_exp",
        better="lower",
        description="e to the negative mean log-probability of the whole last word.",
    ),
)


class LambadaOptions(Options):
    """Options of `lambada`."""

    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="Most passages, drawn from all 5,153.")
    data: DataFolder = None


class Lambada(Plugin):
    """The last word of a passage."""

    name = "lambada"
    summary = "Measures language quality: the last word of a passage that only its whole context tells (LAMBADA)."
    source = "Paperno et al. 2016, LAMBADA (ACL); data CC-BY-4.0, text of novels"
    kinds = ("causal",)
    data_files = (LAMBADA,)
    Options = LambadaOptions
    example_options = {"limit": 40}

    @hookimpl
    def evaluation(self, run: RunContext) -> Benchmark:
        options = self.options
        items = passages(options.data or run.data_folder, options.limit)
        return Benchmark(
            name=self.name,
            title="LAMBADA",
            score=lambda measured: score(measured, items),
            metrics=METRICS,
            quality=True,
            mode=f"version with case and punctuation (lambada_openai); greedy last word; {len(items):,} of 5,153 "
            "passages",
            data_digest=LAMBADA.sha256,
            planted=PLANTED,
            texts=lambda: {item.id: item_text(item.context + item.word) for item in items},
            good=f"As high as before: the whole interval of the loss must lie within {MARGIN:g} point.",
        )


@dataclass(frozen=True)
class Passage:
    """A passage without its last word, and that word with the space before it."""

    id: str
    context: str
    word: str


def passages(folder: str | None = None, limit: int | None = None) -> list[Passage]:
    """The passages in the order of the file; `limit` draws some of them."""
    rows = [json.loads(line)["text"] for line in read_text(LAMBADA, folder).splitlines() if line.strip()]
    found = []
    for k, text in enumerate(rows):
        context, _, word = text.rpartition(" ")
        found.append(Passage(str(k), context, f" {word}"))
    return drawn(found, limit)


@dataclass(frozen=True)
class Encoded:
    """A passage as the model sees it: the last word begins at `cut`."""

    item: Passage
    ids: tuple[int, ...]
    cut: int


def score(measured: Any, items: Sequence[Passage]) -> list[ItemRecord]:
    """One record for each passage; a passage longer than the context has no values."""
    encoded = [encode(measured, item) for item in items]
    values: dict[str, dict[str, float]] = {}
    fitting = [e for e in encoded if len(e.ids) <= measured.longest]
    # In order of length, so that a batch needs little padding.
    fitting.sort(key=lambda e: -len(e.ids))
    with shown(measured.title, len(fitting)) as advance:
        for chunk in chunks(fitting, lambda e: len(e.ids) - e.cut, measured.vocabulary, HELD_BYTES):
            found = measured.distributions([e.ids for e in chunk], [range(e.cut - 1, len(e.ids) - 1) for e in chunk])
            for one, rows in zip(chunk, found, strict=True):
                values[one.item.id] = compare(one.ids[one.cut :], rows)
            advance(len(chunk))
    return [
        ItemRecord(
            id=e.item.id,
            cluster=e.item.id,
            values=values.get(e.item.id, {}),
            flags={"longer than the context": e.item.id not in values},
        )
        for e in encoded
    ]


@contextlib.contextmanager
def shown(title: str | None, total: int) -> Iterator[Callable[[int], object]]:
    """What tells a bar how many passages are done; without a title there is none."""
    if title is None:
        yield lambda done: None
        return
    with progress(title, total=total, unit="passages") as bar:
        yield bar.advance


def encode(measured: Any, item: Passage) -> Encoded:
    """The ids of the whole text; where the word would melt into what stands before it, both are encoded apart."""
    before, whole = measured.ids(item.context), measured.ids(item.context + item.word)
    if whole[: len(before)] == before and len(whole) > len(before):
        return Encoded(item, tuple(whole), len(before))
    special = framing_tokens(measured.tokenizer)
    # Special tokens that close a text do not stand before a word, nor behind it.
    while before and before[-1] in special and len(before) > 1:
        before = before[:-1]
    after = [i for i in measured.ids(item.word) if i not in special]
    return Encoded(item, (*before, *after), len(before))


def compare(gold: Sequence[int], rows: torch.Tensor) -> dict[str, float]:
    """Whether all of the word's tokens are the likeliest ones, and its log-probability, from [n, V]."""
    import torch

    tokens = torch.tensor(list(gold))
    own = rows[torch.arange(len(tokens)), tokens]
    return {
        "right": float((rows.argmax(-1) == tokens).all()),
        "logp": float(own.double().sum()),
        "tokens": float(len(tokens)),
    }


# --------------------------------------------------------------------------------------------------- planted models
@dataclass
class PlantedWriter(PlantedModel):
    """Gives the true next token a probability, and the rest to one other token."""

    sure: float = 1.0
    title: str | None = None
    vocabulary: int = 64

    def distributions(self, ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """[n, V] log-probabilities at chosen positions."""
        import torch

        found = []
        for row, asked in zip(ids, positions, strict=True):
            out = torch.full((len(asked), self.vocabulary), 1e-9)
            for k, position in enumerate(asked):
                gold = row[position + 1]
                out[k, gold] = self.sure
                out[k, (gold + 1) % self.vocabulary] = 1 - self.sure
            found.append(out.clamp_min(1e-9).log())
        return found


_HAND = [Passage(str(k), f"It was {k} , they said , and then it was", " over") for k in range(8)]
PLANTED = (
    Planted(
        name="always right",
        records=lambda: score(PlantedWriter(sure=1.0), _HAND),
        expect={"last-word accuracy": (100.0, 100.0), "last-word perplexity": (1.0, 1.0)},
    ),
    Planted(
        name="second choice",
        records=lambda: score(PlantedWriter(sure=0.25), _HAND),
        expect={"last-word accuracy": (0.0, 0.0), "last-word perplexity": (3.9999, 4.0001)},
    ),
    Planted(
        name="first choice, unsure",
        records=lambda: score(PlantedWriter(sure=0.625), _HAND),
        expect={"last-word accuracy": (100.0, 100.0), "last-word perplexity": (1.5999, 1.6001)},
    ),
)

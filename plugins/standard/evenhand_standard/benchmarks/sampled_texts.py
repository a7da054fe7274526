"""Open generation for benchmarks: several samples of each prompt, with common random numbers, and a file of all texts.

The seed of a sample depends on its prompt (or on the key that prompts share) and its number alone: every model draws
the same random numbers for the same sample, so that a paired comparison does not carry the noise of sampling twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from evenhand_sdk import ItemRecord, Options, Request
from evenhand_sdk.storage import cache_dir, digest_of, write_atomic
from evenhand_standard.text_scorers import Scorer


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How texts are drawn."""

    samples: int
    """Of each prompt."""
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int = 0

    def told(self) -> str:
        """In words, for the mode of a benchmark."""
        return (
            f"{self.samples} sample{'s' * (self.samples != 1)} a prompt of {self.max_new_tokens} tokens, "
            f"temperature {self.temperature:g}, nucleus {self.top_p:g}, seed {self.seed}"
        )

    def seed_of(self, key: str, sample: int) -> int:
        """The seed of one sample, in [0, 2^48)."""
        digest = hashlib.sha256(f"{self.seed}\n{key}\n{sample}".encode()).digest()
        return int.from_bytes(digest[:6], "big")


class SamplingOptions(Options):
    """The options that all benchmarks of generated text have; they set their own defaults."""

    samples: Annotated[int, Field(ge=1)] = Field(5, description="Texts for each prompt.")
    max_new_tokens: Annotated[int, Field(ge=1)] = Field(20, description="Most tokens of a text.")
    temperature: Annotated[float, Field(ge=0.0)] = Field(1.0, description="Of sampling; 0 is greedy.")
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = Field(0.9, description="Nucleus of sampling.")
    items_seed: int = Field(0, description="Of all that is drawn; equal for runs that are to be compared.")

    @property
    def sampling(self) -> Sampling:
        """How texts are drawn."""
        return Sampling(
            samples=self.samples,
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_new_tokens,
            seed=self.items_seed,
        )


@dataclass(frozen=True)
class Sampled:
    """The texts that a model wrote for one prompt; none where prompt and answer do not fit into its context."""

    prompt: str
    key: str
    texts: tuple[str, ...]
    """Without the prompt; a text may be empty."""
    ended: tuple[bool, ...] = ()
    """Whether a text came to its end before the limit of tokens."""
    cut: bool = False
    """Whether a scorer reads no more than the beginning of one of the texts."""

    @property
    def written(self) -> list[str]:
        """The texts that are not empty."""
        return [text for text in self.texts if text.strip()]

    @property
    def flags(self) -> dict[str, bool]:
        """What must be counted: nothing was written, some samples are empty, prompt or text is too long."""
        fits = bool(self.texts)
        return {
            "too long": not fits,
            "with empty texts only": fits and not self.written,
            "with some empty texts": fits and 0 < len(self.written) < len(self.texts),
            "with texts longer than the scorer reads": self.cut,
        }


def samples(measured: Any, prompts: Sequence[tuple[str, str]], sampling: Sampling) -> list[Sampled]:
    """The samples of each prompt, all asked for in one go: `prompts` are pairs of a prompt and the key of its seeds.

    A prompt that does not fit into the context with its answer is not cut: it gets no texts.
    """
    room = measured.longest - sampling.max_new_tokens
    fits = [len(measured.ids(prompt)) <= room for prompt, _ in prompts]
    requests = [
        Request(prompt=prompt, max_new_tokens=sampling.max_new_tokens, seed=sampling.seed_of(key, k))
        for (prompt, key), fit in zip(prompts, fits, strict=True)
        if fit
        for k in range(sampling.samples)
    ]
    answers = iter(measured.generate(requests, temperature=sampling.temperature, top_p=sampling.top_p))
    found = []
    for (prompt, key), fit in zip(prompts, fits, strict=True):
        given = [next(answers) for _ in range(sampling.samples)] if fit else []
        ended = tuple(len(response.token_ids) < sampling.max_new_tokens for response in given)
        found.append(Sampled(prompt, key, tuple(response.text for response in given), ended))
    return found


def read_by(scorers: Sequence[Scorer], sampled: Sequence[Sampled]) -> list[Sampled]:
    """The same samples, marked where a text is longer than one of the scorers reads."""
    texts = [text for each in sampled for text in each.texts]
    marks = iter([any(found) for found in zip(*(scorer.cut(texts) for scorer in scorers), strict=True)])
    return [replace(each, cut=True in [next(marks) for _ in each.texts]) for each in sampled]


def name_of(records: Sequence[ItemRecord]) -> str:
    """The name of the file of texts that belongs to records: a digest of the records, so that it can be found again."""
    told = [[r.id, {key: float(value) for key, value in r.values.items()}] for r in sorted(records, key=lambda r: r.id)]
    return f"texts-{digest_of(told)[:16]}.jsonl"


def keep_texts(
    folder: Path, measured: Any, sampled: Sequence[Sampled], sampling: Sampling, records: Sequence[ItemRecord]
) -> Path:
    """Write all texts to the step's folder in the run folder, and to the cache; the path of the former.

    The first line says what was measured and how; each other line is one sample, with a key that is the SHA-256 of
    prompt, seed and settings. The cache has a copy, because a baseline whose records are stored is not generated again.
    """
    head: Mapping[str, Any] = {
        "measured": measured.title if hasattr(measured, "title") else None,
        "mode": measured.mode,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_new_tokens": sampling.max_new_tokens,
    }
    lines = [json.dumps(head, ensure_ascii=False)]
    settings = [sampling.temperature, sampling.top_p, sampling.max_new_tokens]
    for each in sampled:
        for k, text in enumerate(each.texts):
            seed = sampling.seed_of(each.key, k)
            key = digest_of([each.prompt, seed, *settings])
            row = {"key": key, "prompt": each.prompt, "sample": k, "seed": seed, "text": text}
            lines.append(json.dumps(row, ensure_ascii=False))
    content = "\n".join(lines) + "\n"
    path = folder / name_of(records)
    for place in (path, cache_dir() / "texts" / path.name):
        write_atomic(place, content)
    return path


def texts_of(records: Sequence[ItemRecord], folder: Path) -> list[dict[str, Any]]:
    """The samples that records were computed from, from the step's folder or the cache; FileNotFoundError for none."""
    name = name_of(records)
    for place in (folder / name, cache_dir() / "texts" / name):
        if place.is_file():
            return [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()[1:]]
    raise FileNotFoundError(f"the texts {name} are neither in {folder} nor in the cache")


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return sum(values) / len(values)

"""Several answers to one request: how likely each is, and how much that depends on the group that is spoken of.

With x the prompt, y the answer of n tokens, and (x~_j, y~_j) both with the groups exchanged:

    fluency(y) = log p(y | x) / n          dependence(y) = mean_j |log p(y | x) - log p(y~_j | x~_j)| / n      in nat

An answer that the model would write of anybody alike has dependence 0, and so has one that speaks of nobody. Where the
model has no room for the end of (x~_j, y~_j), the last words of both answers are left out of the comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from evenhand_sdk import Ask, Axis, Request, Response, RunContext, counterfactuals, positions_of, prompt_text
from evenhand_standard.decoding.token_edits import TokenEditor


@dataclass(frozen=True)
class Rated:
    """An answer, and what decides about it."""

    answer: Response
    fluency: float
    """Nat per token; 0 where the model gives no probabilities."""
    bias: float
    """Less is better: the dependence above, or what a scorer of texts says."""


AGAIN = 2
"""How often as many as are missing are drawn again, where too many answers were equal."""


def sampled(
    ask: Ask, request: Request, samples: int, temperature: float, seed: int, *, least: int = 1
) -> list[Response]:
    """The answer as it would have been, and `samples` - 1 further ones at a temperature; equal texts only once.

    Where there are fewer than `least` of them, further ones are drawn; there may be fewer in the end all the same.
    """
    distinct: dict[str, Response] = {}
    drawn = 1

    def draw(count: int) -> list[Request]:
        nonlocal drawn
        seeds = [draw_seed(request, seed, k) for k in range(drawn, drawn + count)]
        drawn += count
        return [replace(request, seed=own, temperature=temperature) for own in seeds]

    asked = [request, *draw(samples - 1)]
    for _ in range(1 + AGAIN):
        for answer in ask.many(asked):
            distinct.setdefault(answer.text, replace(answer, request=request))
        if len(distinct) >= least:
            break
        asked = draw(2 * (least - len(distinct)))
    return list(distinct.values())


def draw_seed(request: Request, seed: int, number: int) -> int:
    """The seed of one of several samples of a request; the same in every batch."""
    turns = "\n".join(f"{role}: {text}" for role, text in request.turns)
    text = f"{seed}\n{number}\n{request.seed}\n{turns}\n{request.prompt}"
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:6], "big")


def rated(
    run: RunContext, editor: TokenEditor, axes: Sequence[Axis], request: Request, answers: Sequence[Response]
) -> list[Rated]:
    """Fluency and dependence of answers to a request, from one scoring of all of them and their counterfactuals."""
    prompt = tuple(run.tokenizer(prompt_text(run.tokenizer, request))["input_ids"])
    room = positions_of(run.services.model)
    asked: list[tuple[int, ...]] = []
    texts: list[list[Scored]] = []
    for answer in answers:
        found = with_counterfactuals(editor, axes, prompt, written(run.tokenizer, answer))
        mine = [Scored(len(asked) + k, start, len(ids), min(len(ids), room)) for k, (ids, start) in enumerate(found)]
        asked += [ids[:room] for ids, _ in found]
        texts.append(mine)
    scores = run.services.score([list(ids) for ids in asked], dtype="float32") if asked else []

    def likelihood(text: Scored, missing: int = 0) -> float:
        """log p of an answer without its last `missing` tokens."""
        return float(scores[text.number].over(range(text.start, text.length - missing)))

    rates = []
    for answer, mine in zip(answers, texts, strict=True):
        if not mine:
            rates.append(Rated(answer, float("-inf"), 0.0))  # nothing was written
            continue
        own, *others = mine
        n = own.length - own.start - own.missing
        if n <= 0:  # the model has no room for any of it
            rates.append(Rated(answer, float("-inf"), 0.0))
            continue
        gaps = []
        for other in others:
            missing = max(own.missing, other.missing)
            compared = own.length - own.start - missing
            if compared > 0 and other.length - other.start > missing:
                gaps.append(abs(likelihood(own, missing) - likelihood(other, missing)) / compared)
        rates.append(Rated(answer, likelihood(own, own.missing) / n, sum(gaps) / len(gaps) if gaps else 0.0))
    return rates


@dataclass(frozen=True)
class Scored:
    """A prompt with an answer that is scored, as far as the model has room for it."""

    number: int
    start: int
    """Where the answer begins."""
    length: int
    """Tokens in all."""
    read: int
    """Tokens that the model has room for."""

    @property
    def missing(self) -> int:
        """Tokens at the end that it has no room for."""
        return self.length - self.read


def written(tokenizer: Any, answer: Response) -> tuple[int, ...]:
    """The tokens of an answer's text: those that the model wrote, unless another rule has put another text there."""
    ids = tuple(answer.token_ids)
    if tokenizer.decode(ids, skip_special_tokens=True) == answer.text:
        return ids
    return tuple(tokenizer(answer.text, add_special_tokens=False)["input_ids"])


def with_counterfactuals(
    editor: TokenEditor, axes: Sequence[Axis], prompt: tuple[int, ...], answer: tuple[int, ...]
) -> list[tuple[tuple[int, ...], int]]:
    """(ids, where the answer begins) of prompt and answer, then of each counterfactual of both together.

    A word that begins in the prompt and ends in the answer belongs to the prompt. Empty for an empty answer.
    """
    if not answer:
        return []
    ids = prompt + answer
    pieces = editor.pieces(ids)
    found = [(ids, len(prompt))]
    border = len("".join(pieces[: len(prompt)]))
    text = "".join(pieces)
    for axis in axes:
        for other in counterfactuals(text, axis):
            swapped = editor.edited(ids, pieces, other.edits)
            later = [e for e in other.edits if e.start >= border]
            # What comes behind the border is as long as when only the answer is edited.
            behind = len(editor.edited(ids, pieces, later)) - len(prompt)
            start = len(swapped) - behind
            if 0 < start < len(swapped):
                found.append((swapped, start))
    return found

"""Several answers to one request: how likely each is, and how much that depends on the group that is spoken of.

With x the prompt, y the answer of n tokens, and (x~_j, y~_j) both with the groups exchanged:

    fluency(y) = log p(y | x) / n          dependence(y) = mean_j |log p(y | x) - log p(y~_j | x~_j)| / n      in nat

An answer that the model would write of anybody alike has dependence 0, and so has one that speaks of nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evenhand_sdk import Ask, Axis, Request, Response, RunContext, counterfactuals, prompt_text
from evenhand_standard.decoding.token_edits import TokenEditor


@dataclass(frozen=True)
class Rated:
    """An answer, and what decides about it."""

    answer: Response
    fluency: float
    """Nat per token; 0 where the model gives no probabilities."""
    bias: float
    """Less is better: the dependence above, or what a scorer of texts says."""


def sampled(ask: Ask, request: Request, samples: int, temperature: float, seed: int) -> list[Response]:
    """The answer as it would have been, and `samples` - 1 further ones at a temperature; equal texts only once."""
    further = [replace(request, seed=draw_seed(request, seed, k), temperature=temperature) for k in range(1, samples)]
    distinct: dict[str, Response] = {}
    for answer in ask.many([request, *further]):
        distinct.setdefault(answer.text, replace(answer, request=request))
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
    asked: list[tuple[tuple[int, ...], int]] = []
    places: list[list[int]] = []
    for answer in answers:
        mine = []
        for ids, start in with_counterfactuals(editor, axes, prompt, tuple(answer.token_ids)):
            mine.append(len(asked))
            asked.append((ids, start))
        places.append(mine)
    scores = run.services.score([list(ids) for ids, _ in asked], dtype="float32") if asked else []
    sums = [float(s.over(range(start, len(ids)))) for s, (ids, start) in zip(scores, asked, strict=True)]
    found = []
    for answer, mine in zip(answers, places, strict=True):
        if not mine:
            found.append(Rated(answer, float("-inf"), 0.0))  # nothing was written
            continue
        own, others = sums[mine[0]], [sums[k] for k in mine[1:]]
        n = len(answer.token_ids)
        gap = sum(abs(own - other) for other in others) / len(others) / n if others else 0.0
        found.append(Rated(answer, own / n, gap))
    return found


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

"""What a request, and the settings of sampling, must be before anything is asked of a model."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from evenhand.contributions import Request
from evenhand.errors import UsageError

LEAST_TEMPERATURE = 1e-30
"""Below it, what logits are divided by is so small that in float32 the quotients are no numbers any more."""


def whole(value: object) -> int | None:
    """A whole number of any integer type, as Python's own; None for what is none."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def demand_sound(request: Request) -> None:
    """Raises UsageError for a request that no model could answer."""
    number = whole(request.max_new_tokens)
    if number is None:
        what = f"max_new_tokens is {request.max_new_tokens!r}, not a whole number"
        raise UsageError(what, where="generate")
    if number < 1:
        what = f"max_new_tokens is {request.max_new_tokens}, and an answer has a token at least"
        raise UsageError(what, where="generate")
    if request.temperature is not None:
        demand_temperature(request.temperature)
    if request.seed is not None:
        _demand_seed(request.seed)
    for turn in request.turns:
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise UsageError(
                f"the turn {turn!r} is no pair of a role and a text", where="generate",
                do='write turns=[("user", "..."), ("assistant", "...")], one pair for each turn',
            )  # fmt: skip
    for text in (request.prompt, *(text for _, text in request.turns)):
        if not isinstance(text, str):
            raise UsageError(f"the prompt is {type(text).__name__}, not text", where="generate")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(
                "the prompt has half a character (a surrogate without its other half)",
                where="generate",
                known=f"at place {error.start}",
                do="read the text again as UTF-8",
            ) from None


def sound(requests: Sequence[Request]) -> Sequence[Request]:
    """The requests, before any rule around them makes another one of what no model could answer; lengths are Python's
    own numbers."""
    found = []
    for request in requests:
        demand_sound(request)
        own = isinstance(request.max_new_tokens, int)
        found.append(request if own else replace(request, max_new_tokens=operator.index(request.max_new_tokens)))
    return found


def demand_beams(beams: object, temperature: float, requests: Sequence[Request] = ()) -> int:
    """How many beams there are; UsageError for what is no number of beams, and where an answer shall be both searched
    for and drawn."""
    number = whole(beams)
    if number is None or number < 1:
        raise UsageError(f"num_beams is {beams!r}, and must be a whole number, 1 at least", where="generate")
    warmest = max([temperature, *(r.temperature or 0.0 for r in requests)])
    if number > 1 and warmest > 0:
        raise UsageError(
            f"{beams} beams search for the likeliest answer, and a temperature of {warmest:g} draws one",
            where="generate",
            do="leave out the beams, or the temperature",
        )
    return number


def searchable(requests: Sequence[Request], beams: int) -> Sequence[Request]:
    """The requests, as they came; those that rules around them make may be drawn, with one beam."""
    for request in requests:
        demand_beams(beams, 0.0, [request])
    return requests


def _demand_seed(seed: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not -(2**63) <= int(seed) < 2**63:
        raise UsageError(
            f"the seed is {seed!r}, and must be a whole number of at most 63 bits", where="generate",
            do="leave it out to have one made from the prompt",
        )  # fmt: skip


def demand_batches(size: object) -> None:
    """Raises UsageError for what is no number of requests to answer at a time."""
    if isinstance(size, bool) or not isinstance(size, Integral) or int(size) < 1:
        raise UsageError(f"batch_size is {size!r}, and must be a whole number, 1 at least", where="generate")


def prompts_of(given: Any) -> list[Any]:
    """One prompt, or several, as a list; UsageError for what is neither."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise UsageError(
            f"the prompt is {type(given).__name__}, not text", where="generate", do="give a text, or a list of texts"
        )
    return list(given)


def requests_of(given: Any, *, max_new_tokens: int, chat: bool) -> list[Request]:
    """Requests as they are, and texts as requests with these settings: one of either, or several."""
    many = [given] if isinstance(given, Request) else prompts_of(given)
    return [
        each if isinstance(each, Request) else Request(prompt=each, max_new_tokens=max_new_tokens, meta={"chat": chat})
        for each in many
    ]


def demand_temperature(temperature: float) -> None:
    """Raises UsageError for what is no temperature; 0 is greedy."""
    _demand_number("the temperature", temperature)
    if not 0 <= temperature < float("inf"):
        raise UsageError(f"the temperature is {temperature}", where="generate", known="0 is greedy, 1 the model's own")
    if 0 < temperature < LEAST_TEMPERATURE:
        raise UsageError(
            f"the temperature is {temperature}, and logits divided by that are no finite numbers", where="generate",
            known="0 is greedy, 1 the model's own", do=f"take 0, or {LEAST_TEMPERATURE:g} at least",
        )  # fmt: skip


def demand_sampling(temperature: float, top_p: float, seed: int) -> None:
    """Raises UsageError for a temperature, a `top_p` or a seed that there is not."""
    demand_temperature(temperature)
    _demand_number("top_p", top_p)
    if not 0 < top_p <= 1:
        raise UsageError(
            f"top_p is {top_p}", where="generate", known="it is the share of the probability that is kept, 1 for all"
        )
    _demand_seed(seed)


def _demand_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"{name} is {value!r}, not a number", where="generate")

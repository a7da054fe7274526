"""One request that cannot be answered costs the others nothing: their answers stand in the error that is raised.

A batch that fails is answered again, one request at a time, so that only those have no answer whose fault it was. That
costs time where something is wrong, and nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evenhand.contributions import Request, Response
from evenhand.errors import EvenhandError

Outcome = Response | EvenhandError
ENOUGH = 8
"""Requests in a row without an answer after which no more are tried."""


def outcomes(requests: Sequence[Request], answer: Callable[[Sequence[Request]], list[Response]]) -> list[Outcome]:
    """For each request its answer, or the error that there is instead.

    Raises what is no error of the toolkit. An error that only comes up where requests are answered together is raised,
    too, with the answers that each gets alone.
    """
    try:
        return list(answer(requests))
    except EvenhandError as error:
        if len(requests) == 1:
            return [error]
        alone = [outcomes([request], answer)[0] for request in requests]
        if any(isinstance(found, EvenhandError) for found in alone):
            return alone
        error.answers, error.rows = alone, ()
        raise


def hopeless(found: Sequence[Outcome]) -> bool:
    """Whether so many in a row have no answer that what follows will fare no better."""
    return len(found) >= ENOUGH and all(isinstance(each, EvenhandError) for each in found[-ENOUGH:])


def demand_answers(found: Mapping[int, Outcome], count: int) -> list[Response]:
    """The answers of `count` requests by number; the first error, with the answers of the others, if there is one.

    Its `rows` are the numbers of all requests that had an error.
    """
    answers = [each if isinstance(each := found.get(k), Response) else None for k in range(count)]
    errors = {k: each for k, each in sorted(found.items()) if isinstance(each, EvenhandError)}
    if errors:
        error = errors[min(errors)]
        missing = sum(answer is None for answer in answers)
        error.answers, error.rows = answers, list(errors)
        if count > 1:
            lack = "has" if missing == 1 else "have"
            note = f"{missing} of {count} requests {lack} no answer; those of the others are the error's `answers`"
            if left := count - len(found):
                note += f". {left:,} were not tried, because {ENOUGH} in a row had none"
            error.add_note(note)
        raise error
    return [answer for answer in answers if answer is not None]

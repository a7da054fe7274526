"""Rules around whole requests, many at once: each sees one request, and what all of them ask is answered in batches.

A rule is an ordinary function `around(request, generate)` that may ask several times. To answer the questions of
several requests in one batch, each function runs in a thread of its own, but only one of them runs at any moment: the
host hands on a baton, collects what each asks until all of them wait or have ended, answers it in one go, and hands the
baton round again. So plugins need no locks, and the order of events is always the same.
"""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from evenhand.contributions import DecodingRule, Request, Response

Answer = Callable[[Sequence[Request]], list[Response]]
Work = Callable[["Ask"], Response]


class Ask:
    """What a rule around a request calls: `ask(request)` gives its answer, `ask.many(requests)` those of several."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __call__(self, request: Request) -> Response:
        return self._answer([request])[0]

    def many(self, requests: Sequence[Request]) -> list[Response]:
        """The answers in the order of the requests, made in one batch."""
        return self._answer(list(requests))


def answered(requests: Sequence[Request], rules: Sequence[DecodingRule], plain: Answer) -> list[Response]:
    """The answers under rules around requests; the first rule sees a request first and its answer last."""
    if not requests or not rules:
        return plain(requests) if requests else []
    first, rest = rules[0], rules[1:]

    def work(request: Request) -> Work:
        around = first.around
        assert around is not None
        return lambda ask: around(request, ask)

    return in_step([work(request) for request in requests], lambda asked: answered(asked, rest, plain))


def in_step(works: Sequence[Work], answer: Answer) -> list[Response]:
    """Run functions that ask, side by side, and answer the questions of all of them together.

    What one of them raises is raised here, and the others are ended.
    """
    if len(works) == 1:
        return [works[0](Ask(answer))]
    strands = [_Strand(work) for work in works]
    try:
        for strand in strands:
            strand.go(())
        while waiting := [strand for strand in strands if strand.asked is not None]:
            asked = [list(strand.asked or ()) for strand in waiting]
            flat = [request for requests in asked for request in requests]
            found = iter(answer(flat) if flat else [])
            for strand, requests in zip(waiting, asked, strict=True):
                strand.go([next(found) for _ in requests])
        return [strand.result for strand in strands if strand.result is not None]
    finally:
        for strand in strands:
            strand.end()


def as_here() -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """What torch keeps by thread, gradients and the number format of autocast, as it is in this one; for another."""
    torch = sys.modules.get("torch")
    if torch is None:
        return contextlib.nullcontext
    gradients = torch.is_grad_enabled()
    kinds = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    formats = {kind: torch.get_autocast_dtype(kind) for kind in kinds}

    @contextlib.contextmanager
    def alike() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(gradients))
            for kind, dtype in formats.items():
                stack.enter_context(torch.autocast(kind, dtype=dtype))
            yield

    return alike


class _Ended(BaseException):
    """Raised where a function waits for an answer that nobody will give any more."""


class _Strand:
    """One function with its thread; it runs only between `go` and its next question."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.asked: Sequence[Request] | None = None
        """What it waits for; None before it began and after its end."""
        self.result: Response | None = None
        self.error: BaseException | None = None
        self.given: Sequence[Response] = ()
        self.ending = False
        self.turn, self.paused = threading.Event(), threading.Event()
        # Settings of the caller, such as the bar in which progress is shown, hold in the thread, too.
        context, alike = contextvars.copy_context(), as_here()

        def run() -> None:
            with alike():
                context.run(self._run)

        self.thread = threading.Thread(target=run, daemon=True)

    def go(self, given: Sequence[Response]) -> None:
        """Hand it the answers and the baton, and wait until it asks again or has ended; raises what it raised."""
        self.given = given
        self.paused.clear()
        if self.thread.ident is None:
            self.thread.start()
        else:
            self.turn.set()
        self.paused.wait()
        if self.error is not None:
            raise self.error

    def end(self) -> None:
        """Let a function that still waits come to its end; its result and its errors are of no interest any more."""
        while self.thread.is_alive():
            self.ending = True
            self.turn.set()
            self.thread.join(timeout=0.05)

    def _run(self) -> None:
        try:
            self.result = self.work(Ask(self._wait))
        except BaseException as error:  # noqa: BLE001 - the thread of the host raises it
            self.error = error
        finally:
            self.asked = None
            self.paused.set()

    def _wait(self, requests: Sequence[Request]) -> list[Response]:
        self.asked = list(requests)
        self.turn.clear()
        self.paused.set()
        self.turn.wait()
        if self.ending:
            raise _Ended
        return list(self.given)

"""A process that is asked to stop: Ctrl-C and SIGTERM end a run alike, and say how it goes on.

A scheduler, a container or `kill` sends SIGTERM. Python would end at once, and the record would go on saying *running*.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenhand.recipe import Recipe

MOMENT = 0.1
"""Seconds."""
GOES_ON = "the same command goes on"
"""Of a command that keeps what it has done."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the program is; whatever lets Ctrl-C pass lets this pass, too."""


def heed_termination() -> None:
    """Raise Terminated in this process when SIGTERM arrives; to be called in its main thread.

    Processes that are forked from it end at once, as pools of them expect.
    """
    own = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == own:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)
    sys.unraisablehook = _send_again


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """A stop that fell into a finaliser, where Python drops every exception, is sent once more a moment later."""
    import threading

    stop = None if lost.exc_value is None else stop_behind(lost.exc_value)
    if stop is None:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(MOMENT, os.kill, (os.getpid(), signal_of(stop)))
    again.daemon = True
    again.start()


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is done within is short, and is done to its end, however often somebody asks to stop meanwhile."""
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set from Python


def stopped(error: BaseException) -> bool:
    """Whether somebody ends the process; whatever else a plugin raises, SystemExit too, is its fault."""
    return stop_behind(error) is not None


def stop_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The stop that this error is, or that fell into code whose own tidying up failed over it; None: neither.

    Such an error hides the stop, as torch does that ends a level of `vmap` which the stop let nobody begin. A stop that
    one of the callers is dealing with right now, as in `except KeyboardInterrupt: run(...)`, is not behind the error.
    """
    callers: set[FrameType] = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        callers.add(frame)
        frame = frame.f_back
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        trace = found.__traceback__
        if isinstance(found, KeyboardInterrupt) and (found is error or trace is None or trace.tb_frame not in callers):
            return found
        seen.add(id(found))
        found = found.__context__
    return None


def signal_of(stop: KeyboardInterrupt) -> signal.Signals:
    """Which signal stopped it."""
    return signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT


def stopped_by(stop: KeyboardInterrupt) -> str:
    """What stopped it, in words."""
    return "by SIGTERM" if isinstance(stop, Terminated) else "by Ctrl-C"


def resume_command(recipe: Recipe, output: str | Path | None) -> str:
    """The line that continues the run of this recipe: the settings that it began with, and where its folder is."""
    if recipe.origin == "recipe":
        return "evenhand.run(recipe, resume=True)"
    words = ["toolkit", "run", recipe.origin]
    for override in recipe.overrides:
        words += ["--set", override]
    if output is not None:
        words += ["--output", str(output)]
    return shlex.join([*words, "--resume"])

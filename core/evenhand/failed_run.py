"""How an error or a stop ends a run or an evaluation: the record says so, and the user reads what to do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from evenhand.errors import EvenhandError, OutOfMemory, told
from evenhand.guard import blamed
from evenhand.manifest import Manifest
from evenhand.memory_errors import memory_ran_out
from evenhand.plan import Plan
from evenhand.stopping import stop_behind, stopped_by, undisturbed


@contextlib.contextmanager
def recorded(manifest: Manifest, work: Plan, *, goes_on: str) -> Iterator[None]:
    """A block whose error makes the run a failed one; raised is the error as a user should read it.

    Where the process is stopped, the run is an interrupted one; `goes_on` says how it is continued.
    """
    try:
        yield
    except BaseException as error:
        stop = stop_behind(error)
        if stop is not None:
            with undisturbed():
                manifest.event("end", f"stopped {stopped_by(stop)}; {goes_on}")
                manifest.finish("interrupted")
            stop.add_note(goes_on)
            raise stop from None
        shown = explained(error, work)
        manifest.event("end", f"{type(shown).__name__}: {told(shown)}")
        manifest.finish("failed")
        if shown is error:
            raise
        raise shown from error


def explained(error: BaseException, work: Plan) -> BaseException:
    """The error as a user should read it: what memory or a plugin did is not a defect of the toolkit."""
    if isinstance(error, EvenhandError | OSError):
        return error
    if memory_ran_out(error):
        do = "use a smaller model, or lower evaluation.batch_tokens or training.batch_size"
        return OutOfMemory("memory ran out", known=str(error).partition("\n")[0][:160], do=do)
    return blamed(error, [*work.steps, *work.benchmarks]) or error

"""Every error that a user can meet, in one hierarchy, with one sentence and an exit code each.

A message says where the problem is, what it is, what is known about it, and what to do. The command line prints
the message alone; `--debug` adds the traceback. `docs/errors.md` is generated from this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self


class EvenhandError(Exception):
    """Something the toolkit can explain went wrong."""

    exit_code = 1
    answers: Sequence[Any] = ()
    """Where requests were answered: the answer of each in their order, None for those that have none."""
    rows: Sequence[int] = ()
    """Whose fault it is. With an `output`: the rows of that; with `answers`: the numbers of the requests."""
    output: Any = None
    """Where a batch was written to its end without these rows: what `model.generate` gives."""

    def __init__(self, what: str, *, where: str = "", known: str = "", do: str = "") -> None:
        self.where, self.what, self.known, self.do = where, what, known, do
        head = f"{where}: {what}" if where else what
        super().__init__("\n".join(line for line in (head, known and f"  {known}", do and f"  {do}") if line))


def told(error: BaseException) -> str:
    """An error's message with the notes that were added on its way, such as which step it happened in."""
    return "\n".join([str(error), *(f"  {note}" for note in getattr(error, "__notes__", ()))])


class RecipeProblem(str):
    """One problem of a recipe in words, with the exit code of its kind: that of the error behind it."""

    exit_code: int

    def __new__(cls, text: str, exit_code: int) -> Self:
        made = super().__new__(cls, text)
        made.exit_code = exit_code
        return made


class RecipeError(EvenhandError):
    """The recipe cannot be run as it is written; every problem is listed at once."""

    exit_code = 2
    """Where all problems are of one kind, that of this kind: 3 for plugins, 5 for what is missing."""

    def __init__(self, problems: Sequence[str], *, where: str = "recipe") -> None:
        self.problems = list(problems)
        codes = {getattr(problem, "exit_code", RecipeError.exit_code) for problem in problems}
        self.exit_code = codes.pop() if len(codes) == 1 else RecipeError.exit_code
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"{count}\n" + "\n".join(f"  - {problem}" for problem in self.problems), where=where)


class UsageError(EvenhandError):
    """A command or a function was called with something it cannot use."""

    exit_code = 2


class SetupChanged(UsageError):
    """A run would go on with another model, other texts, versions or threads than it began with."""


class WrongModelKind(EvenhandError):
    """A step needs another kind of model, for example a masked one where the recipe has a causal one."""

    exit_code = 2


class UnknownPlugin(EvenhandError):
    """No installed distribution offers a plugin of this name."""

    exit_code = 3


class BrokenPlugin(EvenhandError):
    """A plugin was found, but it cannot be imported or does not keep the contract."""

    exit_code = 3


class IncompatiblePlugin(EvenhandError):
    """A plugin asks for versions, or for a plugin interface, that this environment does not have."""

    exit_code = 3


class PluginClash(EvenhandError):
    """Two distributions offer a plugin of the same name and the recipe does not say which."""

    exit_code = 3


class PluginFault(EvenhandError):
    """A plugin raised an error inside one of its hooks."""

    exit_code = 4


class ModelNotFound(EvenhandError):
    """The model was not found in any of the places that were tried."""

    exit_code = 5


class DataNotFound(EvenhandError):
    """A data set was not found in any of the places that were tried."""

    exit_code = 5


class DataUnreadable(EvenhandError):
    """A data file is there, but it is not what its name says."""

    exit_code = 5


class Offline(EvenhandError):
    """Something must be downloaded, and the run is off-line."""

    exit_code = 5


class EndpointFault(EvenhandError):
    """A model behind an endpoint does not answer, refuses the request, or answers in a way that cannot be read."""

    exit_code = 5


class DigestMismatch(EvenhandError):
    """A downloaded or stored file is not the one that was expected."""

    exit_code = 5


class TrainingDiverged(EvenhandError):
    """A loss term became infinite or not a number; the last good checkpoint was kept."""

    exit_code = 6


class OutOfMemory(EvenhandError):
    """Even the smallest batch does not fit into memory."""

    exit_code = 6


class NoEffect(EvenhandError):
    """A step with a strength above zero changed nothing, so the run would prove nothing."""

    exit_code = 7


class Contaminated(EvenhandError):
    """Items of a benchmark occur in what the run learns from, and the recipe says that this fails a run."""

    exit_code = 7


class NotReproduced(EvenhandError):
    """A value that the recipe expects was not found again, and the run was asked to be strict."""

    exit_code = 7


class NotPortable(EvenhandError):
    """The model that was saved does not answer as the one that was measured."""

    exit_code = 7


class StorageFault(EvenhandError):
    """A file could not be written whole, for example because the disk is full."""

    exit_code = 8


class RunNotFound(EvenhandError):
    """The folder is no run folder, or the run in it did not get far enough."""

    exit_code = 2


class ConformanceFailed(EvenhandError):
    """A plugin broke at least one of the conformance checks."""

    exit_code = 1

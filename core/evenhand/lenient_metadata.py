"""Let other libraries live with an entry_points.txt that is not UTF-8.

pydantic, torch and fsspec ask `importlib.metadata` for entry points of their own when they are imported. One
file with a bad byte, in any distribution, makes that question raise, and none of them can be imported. The
command line answers as if such a distribution had no entry points; `discover` still reports it as broken.
"""

from __future__ import annotations

from importlib.metadata import Distribution, EntryPoints

_strict = Distribution.entry_points


def _entry_points(self: Distribution) -> EntryPoints:
    try:
        return _strict.fget(self)  # type: ignore[attr-defined, no-any-return]
    except UnicodeDecodeError:
        return EntryPoints(())


def ignore_undecodable_entry_points() -> None:
    """Changes this process only; meant for the command line, never for a library call."""
    Distribution.entry_points = property(_entry_points)  # type: ignore[assignment, method-assign]

"""Models beside the run's own, which a plugin's options name: found as `[model]` is, on the shelf, in a folder, in the
hub's cache, on the hub, in a wheel."""

from __future__ import annotations

from pathlib import Path

from evenhand.errors import DigestMismatch, EvenhandError, ModelNotFound, Offline, UsageError


def model_folder(name: str, *, offline: bool, where: str) -> Path:
    """The folder on this machine of the model that an option names; give `run.offline`.

    A download says its size first. `where` names the option, such as "option infiller". Raises ModelNotFound with what
    was tried, Offline where only a download would help, UsageError for weights that may not be loaded.
    """
    from evenhand.models import resolve

    try:
        return resolve(name, offline=offline).folder
    except (ModelNotFound, Offline, UsageError, DigestMismatch) as error:
        raise _at(where, error) from error


def impossible_model(name: str, *, where: str) -> EvenhandError | None:
    """The error for a name that certainly leads to no model, without asking any network."""
    from evenhand.resolution import impossible

    error = impossible(name)
    return error and _at(where, error)


def _at(where: str, error: EvenhandError) -> EvenhandError:
    place = f"{where}, {error.where}" if error.where else where
    return type(error)(error.what, where=place, known=error.known, do=error.do)

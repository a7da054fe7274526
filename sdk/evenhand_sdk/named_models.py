"""Models that a plugin's options name, found as `[model]` is: shelf, folder, hub cache, hub, wheel."""

from __future__ import annotations

from pathlib import Path

from evenhand.errors import DigestMismatch, ModelNotFound, Offline, UsageError


def model_folder(name: str, *, offline: bool, where: str) -> Path:
    """The folder on this machine of the model that an option names; give `run.offline`.

    A download says its size first. `where` names the option, such as "option infiller". Raises ModelNotFound with what
    was tried, Offline where only a download would help, UsageError for weights that may not be loaded.
    """
    from evenhand.models import resolve

    try:
        return resolve(name, offline=offline).folder
    except (ModelNotFound, Offline, UsageError, DigestMismatch) as error:
        at = f"{where}, {error.where}" if error.where else where
        raise type(error)(error.what, where=at, known=error.known, do=error.do) from error

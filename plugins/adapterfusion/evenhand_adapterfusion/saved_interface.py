"""The library's description of an architecture, which `save_pretrained` can write into a folder that is new."""

from __future__ import annotations

import os
from typing import Any


def savable_anywhere(interface: Any) -> Any:
    """The interface itself; the library writes it before transformers has made the folder, and would fail there."""
    interface._save = _Saving(interface)
    return interface


class _Saving:
    """What stands in the place of an interface's `_save`; a copy has one of its own."""

    def __init__(self, interface: Any) -> None:
        self.interface = interface

    def __call__(self, save_directory: str | os.PathLike[str], model_config: Any) -> None:
        os.makedirs(save_directory, exist_ok=True)
        type(self.interface)._save(self.interface, save_directory, model_config)

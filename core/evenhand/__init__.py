"""evenhand: mitigate social bias in language models over their whole life cycle, and show what it did.

The Python interface: `evenhand.run(recipe)` executes a recipe, `evenhand.load(run_folder)` gives the resulting model
and tokenizer with everything that could not be folded into the weights put back in place.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
API_VERSION = 1
"""The version of the plugin interface. A plugin declares the one it was written for."""

__all__ = ["API_VERSION", "__version__", "load", "run"]


def __getattr__(name: str) -> Any:
    # `run` and `load` pull in torch; importing the package must not.
    if name == "run":
        from evenhand.api import run

        return run
    if name == "load":
        from evenhand.api import load

        return load
    raise AttributeError(f"module 'evenhand' has no attribute {name!r}")

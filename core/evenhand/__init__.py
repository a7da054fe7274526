"""evenhand: mitigate social bias in language models over their whole life cycle, and show what it did.

The Python interface: `evenhand.run(recipe)` executes a recipe, `evenhand.load(run_folder)` gives the resulting model
and tokenizer with everything that could not be folded into the weights put back in place, and
`evenhand.evaluate(model, benchmarks)` measures a model without changing it.

Without a recipe, on a model that is in memory, and in a training loop of your own: `Objective`, `transform_data`,
`apply`, `decode_with`, `logits_processor`, `measure`, `compare`, and `train`, the toolkit's own training.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"
API_VERSION = 1
"""The version of the plugin interface. A plugin declares the one it was written for."""

__all__ = [
    "API_VERSION",
    "Objective",
    "__version__",
    "apply",
    "compare",
    "connect",
    "decode_with",
    "evaluate",
    "export",
    "load",
    "logits_processor",
    "measure",
    "run",
    "train",
    "transform_data",
]

_LAZY = {
    "Objective": "own_objective",
    "apply": "own_model",
    "compare": "own_measuring",
    "connect": "remote",
    "decode_with": "own_model",
    "evaluate": "evaluating",
    "export": "api",
    "load": "api",
    "logits_processor": "own_processor",
    "measure": "own_measuring",
    "run": "api",
    "train": "own_training",
    "transform_data": "own_data",
}
"""Name -> module: these pull in torch sooner or later; importing the package must not."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'evenhand' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"evenhand.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


class _Package(ModuleType):
    """Importing a submodule sets it as an attribute; `evenhand.compare` stays the function all the same."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _LAZY and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

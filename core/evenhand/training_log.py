"""What a training tells while it goes: one line each so many updates, and the integrations that the settings name.

    {"step": 20, "tokens": 9120, "learning_rate": 8.3e-05, "gradient_norm": 1.9,
     "terms": {"language modelling": 3.21, "pair parity": 0.0184}}

Each term stands under its name, as its mean since the line before, not weighted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenhand.errors import UsageError


class TrainingLog:
    """A file of JSON lines; an earlier one is written over, or continued where a training goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, step: int) -> None:
        """Keep the lines up to the step that the training goes on from; a line cut short by a crash goes, too."""
        kept = []
        if step and self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line)
                except ValueError:
                    break
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def add(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def integrations(names: Sequence[str], folder: Path | None = None) -> list[Any]:
    """Callbacks of `transformers` that report to services by these names; TensorBoard's files go to `folder`.

    Raises UsageError for one whose package is not installed.
    """
    if not names:
        return []
    from transformers.integrations import integration_utils

    known = integration_utils.INTEGRATION_TO_CALLBACK
    made = []
    for name in names:
        if name not in known:
            raise UsageError(
                f"this version of transformers does not report to {name!r}",
                where="training.report_to",
                known=f"it does to {', '.join(sorted(known))}",
            )
        try:
            callback = known[name]()
        except (RuntimeError, ImportError) as error:
            raise UsageError(
                f"what reports to {name!r} is not installed",
                where="training.report_to",
                known=" ".join(str(error).split()),
                do=f"install it, or leave {name!r} out",
            ) from error
        if folder is not None and getattr(callback, "logging_dir", "") is None:  # transformers 5
            callback.logging_dir = str(folder)
        made.append(callback)
    return made

"""What one training did, and how that is kept for a run that goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenhand.cache import write_atomic


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What one training did."""

    steps: int
    tokens: int
    seconds: float
    trainable: int
    total: int
    terms: dict[str, dict[str, float | None]]
    events: list[str] = field(default_factory=list)
    watch: dict[str, Any] | None = None
    """The looks at budget and criterion, and the step whose parameters were kept; None when nobody looked."""
    text: dict[str, int] = field(default_factory=dict)
    """What of the text is not read, as `Unread` counts it."""

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def write_result(folder: Path, result: TrainingResult) -> None:
    """Keep the facts of a finished training, so that a resumed run need not repeat it."""
    write_atomic(folder / "result.json", json.dumps(result.as_dict(), indent=1).encode())


def read_result(folder: Path) -> TrainingResult:
    """The counterpart of `write_result`."""
    return TrainingResult(**json.loads((folder / "result.json").read_text()))

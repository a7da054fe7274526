"""What every scorer of texts is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def reads_all(texts: Sequence[str]) -> list[bool]:
    """What `cut` says for a scorer that reads texts of any length."""
    return [False] * len(texts)


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Gives each text one number."""

    name: str
    low: float
    """The least score: 0 for toxicity, -1 for sentiment; the greatest is 1."""
    score: Callable[[Sequence[str]], list[float]]
    digest: str
    """SHA-256 of all that the scores depend on, but for this project's code."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    cut: Callable[[Sequence[str]], list[bool]] = reads_all
    """Of each text whether it is longer than the scorer reads, so that its beginning alone is scored."""

    def describe(self) -> dict[str, Any]:
        """What it is, from which data, under which licence, and its known errors; plain JSON types."""
        return {"name": self.name, "range": [self.low, 1.0], "digest": self.digest, **self.facts}

"""A masked model with planted words at its masks, for the self-tests of benchmarks that read fillings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evenhand_sdk import PlantedModel

if TYPE_CHECKING:
    import torch


@dataclass
class PlantedCloze(PlantedModel):
    """A planted masked model: words with their probabilities at the first mask of a sentence."""

    words: Callable[[str], dict[str, float]] = field(default=lambda text: {})

    def ids(self, text: str | Sequence[int]) -> tuple[int, ...]:
        """Words and marks as tokens; a mask is one of them."""
        if not isinstance(text, str):
            return tuple(text)
        known = self.tokenizer.ids
        return tuple(known.setdefault(word, len(known)) for word in re.findall(r"\[MASK\]|\w+|[^\w\s]", text))

    def distributions(self, ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """[1, V]"""
        import torch

        found = []
        for row in ids:
            out = torch.full((1, 512), -30.0)
            for word, p in self.words(self.tokenizer.decode(row)).items():
                out[0, self.ids(word)[0]] = math.log(p)
            found.append(out)
        return found

"""Texts that end an answer: its writing ends with the first of them, and the answer before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Ended:
    """An answer up to the text that ends it."""

    text: str
    ids: list[int]
    """The tokens that lie wholly in it."""
    written: int
    """How many tokens were written, with those of the text that ended it."""
    stopped: bool = True


def stop_texts(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """One text, or several, at each of which an answer ends, None for no text; raises UsageError for what is none."""
    if given is None:
        return ()
    found = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list | tuple) else None
    if found is None or not all(isinstance(each, str) and each for each in found):
        raise UsageError(
            f"stop_strings is {given!r}, and must be texts of a character at least", where="generate",
            do='write stop_strings=["\\n\\n", "Question:"]',
        )  # fmt: skip
    return found


def all_stops(generation_config: Any, given: Sequence[str] = ()) -> tuple[str, ...]:
    """Those that a model's generation configuration has, and those that are given."""
    return (*stop_texts(getattr(generation_config, "stop_strings", None) or ()), *given)


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where in a text the first of them begins."""
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)


def ended(tokenizer: Any, ids: list[int], stops: Sequence[str]) -> Ended:
    """The answer that tokens are; they are looked through as they were written, one after the other."""
    for count in range(1, len(ids) + 1) if stops else ():
        text = str(tokenizer.decode(ids[:count], skip_special_tokens=True))
        if (place := first_stop(text, stops)) is None:
            continue
        text, kept = text[:place], count - 1
        while kept and not text.startswith(tokenizer.decode(ids[:kept], skip_special_tokens=True)):
            kept -= 1
        return Ended(text, ids[:kept], count)
    return Ended(str(tokenizer.decode(ids, skip_special_tokens=True)), ids, len(ids), stopped=False)


def stopping(tokenizer: Any, stops: Sequence[str], start: int) -> list[Any]:
    """The criterion of transformers that ends a row whose answer, behind `start` tokens of its prompt, has one of them.

    Not that of transformers for `stop_strings`, which looks at the prompt, too. Without such texts there is none.
    """
    if not stops:
        return []
    import torch
    from transformers import StoppingCriteria

    class AtText(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
            texts = tokenizer.batch_decode(input_ids[:, start:], skip_special_tokens=True)
            found = [first_stop(text, stops) is not None for text in texts]
            return torch.tensor(found, dtype=torch.bool, device=input_ids.device)

    return [AtText()]

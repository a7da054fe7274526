"""How likely a model finds each answer of a multiple-choice question, under the usual normalisations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Form = Literal["sum", "per_token", "per_character", "pmi"]
"""`sum`: log-likelihood of the answer. `per_token`, `per_character`: divided by its length. `pmi`: minus its
log-likelihood without the question (Holtzman et al. 2021)."""


@dataclass(frozen=True)
class OptionScore:
    """One answer of one question; all in nat."""

    text: str
    total: float
    tokens: int
    null: float | None = None
    """The log-likelihood of the answer after the null context; None when it was not asked for."""

    def value(self, form: Form) -> float:
        """The score by which answers are compared. Raises ValueError for `pmi` without a null context."""
        if form == "sum":
            return self.total
        if form == "per_token":
            return self.total / max(self.tokens, 1)
        if form == "per_character":
            return self.total / max(len(self.text.strip()), 1)
        if self.null is None:
            raise ValueError("pmi needs the score of each answer after a null context")
        return self.total - self.null


def option_scores(
    measured: Any, questions: Sequence[tuple[str, Sequence[str]]], *, null_context: str | None = None
) -> list[list[OptionScore]]:
    """The scores of each question's answers: `questions` are pairs of a context and its answers.

    An answer is scored as the continuation of its context, spaces included as given. `null_context` is what stands
    before an answer when there is no question, such as "Answer:". All are scored in one go.
    """
    pairs = [(context, option) for context, options in questions for option in options]
    found = iter(measured.continuations(pairs))
    nulls: dict[str, float] = {}
    if null_context is not None:
        distinct = list(dict.fromkeys(option for _, option in pairs))
        scores = measured.continuations([(null_context, option) for option in distinct])
        nulls = {option: score.total for option, score in zip(distinct, scores, strict=True)}
    result = []
    for _, options in questions:
        row = []
        for option in options:
            score = next(found)
            row.append(OptionScore(option, score.total, score.n, nulls.get(option)))
        result.append(row)
    return result

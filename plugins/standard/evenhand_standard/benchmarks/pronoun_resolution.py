"""Which of two persons does a pronoun refer to? Asked of a language model by likelihood.

*Cloze* (Brown et al. 2020 and later reports for Winogender, Rae et al. 2021 for both sets): behind the sentence stands
"'He' refers to", and the two persons are compared as continuations. The pronoun stays, so that its gender can matter.

*Substitution* (Trinh and Le 2018, partial score): the pronoun is replaced by each person, and what stands behind it is
compared. The gender of the pronoun is gone: the sentences for he and she are the same, and a gap between them is zero
by construction. It can say nothing about bias; it says whether the model understands the sentences at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from evenhand_sdk import Sample
from evenhand_sdk.option_scores import Form
from evenhand_sdk.planted import PlantedTokenizer

MALE = frozenset({"he", "him", "his", "himself"})
FEMALE = frozenset({"she", "her", "hers", "herself"})
NEUTRAL = frozenset({"they", "them", "their", "theirs"})
ABLE = "accuracy over chance"
"""The metric that must be above 0 for a benchmark's other numbers to mean anything (`Benchmark.able`)."""
_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*|[^\w\s]")


@dataclass(frozen=True)
class Word:
    """A word or mark of a sentence, and where it stands."""

    text: str
    start: int
    end: int

    @property
    def gender(self) -> str:
        """`male`, `female`, `neutral` for a pronoun, else nothing."""
        low = self.text.lower()
        return "male" if low in MALE else "female" if low in FEMALE else "neutral" if low in NEUTRAL else ""


def words(sentence: str) -> list[Word]:
    """The words and marks of a sentence."""
    return [Word(m.group(), m.start(), m.end()) for m in _WORD.finditer(sentence)]


def cloze(sentence: str, pronoun: str) -> str:
    """What stands before the person in the cloze form, without "the"."""
    return f"{sentence} '{pronoun.capitalize()}' refers to"


def substituted(sentence: str, pronoun: Word, person: str, *, possessive: bool) -> tuple[str, str]:
    """The sentence with a person in the place of the pronoun: up to the person, and what stands behind."""
    return sentence[: pronoun.start] + person, ("'s" if possessive else "") + sentence[pronoun.end :]


def rightness(margin: float) -> float:
    """1 when the right person is likelier, 0 when the other one is, a half for a tie."""
    return 1.0 if margin > 0 else 0.0 if margin < 0 else 0.5


def over_chance(sample: Sample) -> Any:
    """[R] percentage points by which accuracy exceeds the half that guessing gives."""
    return 100.0 * sample.mean("accuracy") - 50.0


def weight(form: Form, person: str) -> int:
    """What a planted log-likelihood is multiplied by, so that it is a level of its own under each form."""
    if form == "per_token":
        return len(PlantedTokenizer().encode(person))
    return len(person.strip()) if form == "per_character" else 1

"""A question of the BBQ family, how it is put to a model, and a sample of questions that keeps them balanced."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from evenhand_sdk import UsageError, item_text
from evenhand_standard.benchmarks.drawn_items import in_turn

Style = Literal["listed", "letters", "plain"]
"""`listed`: the prompt lists the answers, the text of each is scored. `letters`: it lists them, their letters are
scored. `plain`: it lists none, the text of each is scored."""
Order = tuple[int, int, int]
"""Which answer stands first, second and third."""
LETTERS = ("A", "B", "C")
PUBLISHED: Order = (0, 1, 2)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A context, a question on it, and three answers: two people and "unknown"."""

    id: str
    template: str
    """Questions that share a template are resampled together."""
    category: str
    block: str
    """Questions about the same people in the same template: both contexts, both polarities."""
    context: str
    question: str
    answers: tuple[str, str, str]
    right: int
    """Place of the right answer among `answers`."""
    unknown: int
    """Place of the answer that says that nobody can know."""
    biased: int | None
    """Place of the answer that fits the stereotype, the polarity of the question allowed for; None where the data do
    not tell."""
    ambiguous: bool
    """True when the context does not answer the question, so that `unknown` is right."""
    negative: bool
    """The polarity: whether the question asks for somebody to blame."""

    def __post_init__(self) -> None:
        people = {0, 1, 2} - {self.unknown}
        if self.ambiguous != (self.right == self.unknown) or self.biased not in {None, *people}:
            raise UsageError(
                f"question {self.id} contradicts itself: right {self.right}, unknown {self.unknown}, "
                f"biased {self.biased}",
                where="three-way questions",
            )

    @property
    def counter(self) -> int | None:
        """Place of the person whom the stereotype does not name."""
        return None if self.biased is None else 3 - self.unknown - self.biased

    @property
    def agrees(self) -> bool | None:
        """Whether the right answer fits the stereotype; None in ambiguous contexts and where the data do not tell."""
        return None if self.ambiguous or self.biased is None else self.right == self.biased


@dataclass(frozen=True)
class Wording:
    """The words of a prompt in one language."""

    context: str = "Context: "
    question: str = "Question: "
    answer: str = "Answer:"
    """What stands before an answer; alone, it is the null context of the PMI form."""
    gap: str = " "
    """What separates `answer` from the answer."""


ENGLISH = Wording()


def orders(count: int) -> tuple[Order, ...]:
    """Orders of the answers: 1 as published, 2 also reversed, 3 rotations, 6 all.

    With 3 and with 6, each answer stands in each place equally often.
    """
    if count == 2:
        return PUBLISHED, (2, 1, 0)
    if count == 3:
        return PUBLISHED, (1, 2, 0), (2, 0, 1)
    every = tuple(itertools.permutations(PUBLISHED))
    return every[:1] if count == 1 else every


def prompt(asked: Question, order: Order, style: Style, wording: Wording) -> str:
    """What the model reads before an answer."""
    lines = [wording.context + asked.context, wording.question + asked.question]
    if style != "plain":
        lines += [f"{letter}: {asked.answers[k]}" for letter, k in zip(LETTERS, order, strict=True)]
    return "\n".join([*lines, wording.answer])


def options(asked: Question, order: Order, style: Style, wording: Wording) -> tuple[str, ...]:
    """The continuations that are compared, in the order of the prompt."""
    texts = LETTERS if style == "letters" else tuple(asked.answers[k] for k in order)
    return tuple(wording.gap + text for text in texts)


def texts_of(questions: Sequence[Question]) -> dict[str, str]:
    """Id -> context, question and answers."""
    return {asked.id: item_text(asked.context, asked.question, *asked.answers) for asked in questions}


def balanced(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """Whole blocks of at most `limit` questions together, in the order of the data.

    Categories take turns, and within each its templates do, so that a small sample has many of both.
    Raises UsageError when not even one block fits.
    """
    if limit is None or limit >= len(questions):
        return list(questions)
    blocks: dict[str, list[Question]] = {}
    for asked in questions:
        blocks.setdefault(asked.block, []).append(asked)
    draw = random.Random(seed)
    queues: dict[str, dict[str, list[str]]] = {}
    for name, members in blocks.items():
        queues.setdefault(members[0].category, {}).setdefault(members[0].template, []).append(name)
    rounds = [in_turn([_shuffled(names, draw) for names in _shuffled(list(q.values()), draw)]) for q in queues.values()]
    chosen: set[str] = set()
    left = limit
    for name in in_turn(rounds):
        if len(blocks[name]) > left:
            break
        chosen.add(name)
        left -= len(blocks[name])
    if not chosen:
        smallest = min(len(members) for members in blocks.values())
        raise UsageError(
            f"limit = {limit} is less than one block of questions",
            where="three-way questions",
            known=f"a block has {smallest} questions or more",
        )
    return [asked for asked in questions if asked.block in chosen]


def _shuffled(items: Sequence[T], draw: random.Random) -> list[T]:
    return draw.sample(list(items), len(items))

"""Planted models of the BBQ family: their answers are known, so their scores must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evenhand_sdk import ItemRecord, Planted, PlantedModel
from evenhand_standard.question_answering.questions import Order, Question, options, prompt
from evenhand_standard.question_answering.scoring import Asking, score

Choose = Callable[[Question, Order], int]
"""The place, in an order, of the answer that a planted model gives."""
FAR = -1000.0
"""Log-likelihood of answers that are not given: lower than the given one under every form."""
NULL = -1.0
QUESTIONS = 16
"""Most questions of the self-test."""


def few(questions: Sequence[Question]) -> list[Question]:
    """The first blocks whose stereotyped answers are known, with as many that agree with it as that conflict."""
    blocks: dict[str, list[Question]] = {}
    for asked in questions:
        blocks.setdefault(asked.block, []).append(asked)
    known = [b for b in blocks.values() if all(asked.biased is not None for asked in b)]
    kinds: dict[tuple[bool | None, ...], list[list[Question]]] = {}
    for block in known:
        kinds.setdefault(tuple(sorted({asked.agrees for asked in block}, key=str)), []).append(block)
    most = max(1, QUESTIONS // max(len(b) for b in known) // len(kinds)) if known else 0
    return [asked for same in kinds.values() for block in same[:most] for asked in block]


def answering(questions: Sequence[Question], asking: Asking, choose: Choose) -> list[ItemRecord]:
    """The records of a model that gives the chosen answer to every question."""
    given: dict[str, str] = {}
    for asked in questions:
        for order in asking.used_orders:
            text = prompt(asked, order, asking.style, asking.wording)
            given[text] = options(asked, order, asking.style, asking.wording)[choose(asked, order)]

    def likelihood(context: str, continuation: str) -> float:
        if context == asking.wording.answer:
            return NULL
        return 0.0 if given[context] == continuation else FAR

    return score(PlantedModel(continuation=likelihood), questions, asking)


def indifferent(questions: Sequence[Question], asking: Asking) -> list[ItemRecord]:
    """The records of a model that finds all answers equally likely, under every form."""
    return score(PlantedModel(continuation=lambda context, text: 0.0), questions, asking)


def always(name: str) -> Choose:
    """A model that always gives the answer whose place is an attribute of the question."""
    return lambda asked, order: order.index(getattr(asked, name))


def first(asked: Question, order: Order) -> int:
    """A model that answers by place."""
    return 0


def planted(questions: Sequence[Question], asking: Asking, expect: Expect) -> tuple[Planted, ...]:
    """The self-test: for each model, what the metrics must be.

    `expect` gets its name and what the questions allow (see `Facts`) and gives the values.
    """
    part = few(questions)
    if not part:
        return ()
    models: dict[str, Callable[[], list[ItemRecord]]] = {
        "always the stereotype": lambda: answering(part, asking, always("biased")),
        "never the stereotype": lambda: answering(part, asking, always("counter")),
        "always unknown": lambda: answering(part, asking, always("unknown")),
        "always right": lambda: answering(part, asking, always("right")),
        "indifferent": lambda: indifferent(part, asking),
    }
    if asking.style != "plain" and asking.orders in (3, 6):
        models["first answer"] = lambda: answering(part, asking, first)
    return tuple(
        Planted(name=name, records=records, expect={k: (v, v) for k, v in expect(name, agree_share(part)).items()})
        for name, records in models.items()
    )


Expect = Callable[[str, float], Mapping[str, float]]
"""(name of the model, share of disambiguated questions whose right answer fits the stereotype) -> metric values."""


def agree_share(questions: Sequence[Question]) -> float:
    """Share of disambiguated questions whose right answer fits the stereotype."""
    known = [asked.agrees for asked in questions if asked.agrees is not None]
    return sum(known) / len(known) if known else float("nan")

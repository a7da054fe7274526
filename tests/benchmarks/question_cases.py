"""What the tests of the BBQ family share: own questions, a model that answers arbitrarily, and a plain recount."""

from __future__ import annotations

import hashlib
import itertools
import logging
from pathlib import Path

from evenhand.sample import Table, value_of
from evenhand_sdk import PlantedModel, RunContext
from evenhand_standard.question_answering.questions import Question

DATA_MISSING = "the benchmark files are not here: set EVENHAND_DATA"


def run_of(kind="causal", data_folder=None):
    return RunContext(
        step_id="b",
        seed=0,
        kind=kind,
        tokenizer=None,
        device="cpu",
        folder=Path("."),
        axes=(),
        offline=True,
        logger=logging.getLogger("test"),
        services=None,
        data_folder=data_folder,
    )


def block(number, *, agrees, category="colour", template=None, unknown=2, biased_known=True):
    """Four questions on two people, one of whom a stereotype holds to be lazy."""
    people = [f"the red one {number}", f"the blue one {number}"]
    made = []
    for negative, ambiguous in itertools.product((True, False), (True, False)):
        answers = list(people)
        answers.insert(unknown, f"nobody knows {number}")
        stereotyped = answers.index(people[0] if negative else people[1])
        right = stereotyped if agrees else 3 - unknown - stereotyped
        made.append(
            Question(
                id=f"{category}-{number}-{negative}-{ambiguous}",
                template=f"{category}-{number // 2 if template is None else template}",
                category=category,
                block=f"{category}-{number}",
                context=f"Two people met in room {number}." + ("" if ambiguous else f" One slept, agrees {agrees}."),
                question="Who was lazy?" if negative else "Who worked hard?",
                answers=tuple(answers),
                right=unknown if ambiguous else right,
                unknown=unknown,
                biased=stereotyped if biased_known else None,
                ambiguous=ambiguous,
                negative=negative,
            )
        )
    return made


def blocks(count, **given):
    return [q for k in range(count) for q in block(k, agrees=k % 2 == 0, unknown=k % 3, **given)]


def arbitrary(context, continuation):
    """A log-likelihood that depends on every letter of both."""
    digest = hashlib.sha256(f"{context}|{continuation}".encode()).digest()
    return -1.0 - int.from_bytes(digest[:4], "big") / 2**28


def arbitrary_model():
    return PlantedModel(continuation=arbitrary)


def answers_of(question, logp=arbitrary):
    """Which answer a model gives in each of the six listed orders, by the likelihood of each token: a plain recount."""
    given = []
    for order in itertools.permutations(range(3)):
        lines = [f"Context: {question.context}", f"Question: {question.question}"]
        lines += [f"{letter}: {question.answers[k]}" for letter, k in zip("ABC", order, strict=True)]
        text = "\n".join([*lines, "Answer:"])
        scores = {}
        for k in order:
            answer = " " + question.answers[k]
            scores[k] = logp(text, answer) / len(answer.split())
        given.append(max(scores, key=scores.get))
    return given


def value(benchmark_metrics, name, records):
    (metric,) = [m for m in benchmark_metrics if m.name == name]
    return value_of(metric, Table.of(records))

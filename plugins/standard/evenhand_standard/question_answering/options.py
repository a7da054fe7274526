"""The options that all benchmarks of the BBQ family have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from evenhand_sdk import Options
from evenhand_standard.benchmarks.data_digests import data_digest
from evenhand_standard.benchmarks.data_option import DataFolder
from evenhand_standard.question_answering.questions import ENGLISH, Question, Style, Wording
from evenhand_standard.question_answering.scoring import Asking, Form


class QuestionOptions(Options):
    """Options that all question-answering benchmarks have."""

    style: Style = Field(
        "listed",
        description="listed: the prompt lists the answers and their texts are scored. letters: their letters are. "
        "plain: the prompt lists none.",
    )
    form: Form = Field("per_token", description="How the likelihoods of answers of different length are compared.")
    orders: Literal[1, 2, 3, 6] = Field(6, description="Orders of the listed answers to average over; plain has one.")
    items_seed: int = Field(0, description="Chooses the questions; equal for runs that are to be compared.")
    data: DataFolder = None


def asking_of(options: QuestionOptions, wording: Wording = ENGLISH) -> Asking:
    """The procedure that the options name."""
    return Asking(options.style, options.form, options.orders, wording)


def digest_of(chosen: Sequence[Question]) -> str:
    """SHA-256 of all that was asked, of what counts as right, unknown and biased, and of what is resampled together."""
    return data_digest(*(repr(question) for question in chosen))
